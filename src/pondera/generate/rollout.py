"""From the `rollout` section of a recipe to the back-end that it names."""

from __future__ import annotations

from pondera.config import TransformersRollout, VllmRollout, VllmServerRollout
from pondera.generate.backend import Backend
from pondera.generate.transformers_backend import TransformersBackend
from pondera.models import Family


def open_backend(rollout: TransformersRollout | VllmRollout | VllmServerRollout, family: Family) -> Backend:
    """The back-end for the policy of `family`.

    Raises:
        MissingExtra: vLLM is asked for and not installed.
        TrainingError: its version is not supported, or it cannot start or be reached.
    """
    if isinstance(rollout, TransformersRollout):
        return TransformersBackend(family)
    from pondera.generate.vllm_backend import ColocatedEngine, ServerEngine, VllmBackend

    if isinstance(rollout, VllmServerRollout):
        return VllmBackend(
            family, ServerEngine(rollout.url, timeout_s=rollout.timeout_s, concurrency=rollout.concurrency)
        )
    engine = ColocatedEngine(family, gpu_memory=rollout.gpu_memory, max_length=rollout.max_length, dtype=rollout.dtype)
    return VllmBackend(family, engine)
