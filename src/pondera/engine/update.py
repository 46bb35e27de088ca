"""The update: the gradient of a step's objective, in as many micro-batches as memory asks for.

Shape letters: as in `lesson`.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch.nn.parallel import DistributedDataParallel

from pondera.config import ReinforceStage
from pondera.engine.auxiliary import AuxiliaryView, Update
from pondera.engine.lesson import Lesson, tokens_of
from pondera.engine.micro_batches import Group, MicroBatch, micro_batches, num_tokens
from pondera.engine.objective import entropy_bonus, entropy_threshold
from pondera.engine.policy_loss import ScoredTokens, policy_token_loss
from pondera.errors import TrainingError
from pondera.models import Family
from pondera.models.distribution import gathered, is_sharded, largest, sum_gradients, summed, world_size
from pondera.models.memory import free_memory, is_out_of_memory
from pondera.models.packing import longest_sequence, pack, packed_logps

T = TypeVar("T")


class PolicyUpdate:
    """Leaves the gradient of the objective in the parameters.

    Out of memory, the budget is halved and the step's gradient computed again from its first token: the weights have
    not moved, so nothing is lost but time. All processes agree on that. Where parameters are sharded, a process that
    runs out of memory in the middle of a joint pass cannot be joined again, so the run ends with advice.

    Args:
        family: packs.
        stage: settings.
        reference: model of the KL; None with a KL weight means the policy without its adapter.
        second_views: further losses.
    """

    def __init__(
        self,
        family: Family,
        stage: ReinforceStage,
        *,
        reference: Any | None = None,
        second_views: Sequence[AuxiliaryView] = (),
    ) -> None:
        self.family, self.stage = family, stage
        self.reference, self.second_views = reference, second_views
        self.has_kl = max(stage.kl_weight, stage.thought_kl_weight or 0) > 0
        self.token_budget = None if stage.token_budget == "auto" else stage.token_budget

    def __call__(
        self, model: Any, lesson: Lesson, backward: Callable[[torch.Tensor], None]
    ) -> tuple[float, dict[str, float]]:
        """Compute the gradient of the global batch's loss.

        Args:
            model: as the trainer wrapped it.
            lesson: this process's share of the batch.
            backward: called with the loss of each micro-batch.

        Returns:
            The loss of the global batch, and means over its tokens to be logged.

        Raises:
            TrainingError: not even one completion fits into memory.
        """
        if self.stage.entropy_share < 1 and not lesson.learns_NT:
            entropy_NT, _ = self._together(model, lesson, lambda parts: self._entropies(model, lesson, parts))
            lesson.learns_NT = self._gate(entropy_NT)
        sums, parts = self._together(model, lesson, lambda parts: self._accumulate(model, lesson, parts, backward))
        if not is_sharded(self.family.model):
            sum_gradients(self.family.model.parameters(), self.family.device)
        names = sorted(sums)
        total = dict(zip(names, summed([sums[name] for name in names], self.family.device), strict=True))
        loss = total.pop("loss")
        return loss, {name: value / lesson.num_tokens for name, value in total.items()} | {
            "micro_batches": float(len(parts))
        }

    def _parts(self, lesson: Lesson) -> list[MicroBatch]:
        if self.token_budget is None:
            return [MicroBatch(lesson.groups, tuple(range(len(lesson.advantage_NT))))]
        return micro_batches(lesson.groups, token_budget=self.token_budget, is_packed=self._is_packed(lesson.groups))

    def _is_packed(self, groups: Sequence[Group]) -> bool:
        return self.family.packing_obstacle(longest_sequence(groups)) is None

    def _together(
        self, model: Any, lesson: Lesson, work: Callable[[Sequence[MicroBatch]], T]
    ) -> tuple[T, list[MicroBatch]]:
        """What work on all micro-batches gives, and these: where one process runs out of memory, all start again.

        Where copies of the model are trained, the work must not wait for other processes: one may be gone from it.
        """
        while True:
            parts = self._parts(lesson)
            found = self._attempt(parts, work)
            if not largest(found is None, self.family.device):
                assert found is not None
                return found, parts
            self._make_room(model, parts)

    def _attempt(self, parts: Sequence[MicroBatch], work: Callable[[Sequence[MicroBatch]], T]) -> T | None:
        """None where memory ran out."""
        try:
            return work(parts)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if is_sharded(self.family.model):
                size = self._largest_size(parts)
                raise TrainingError(
                    f"out of memory in an update of {size} tokens; sharded runs cannot try again, so set "
                    f"token_budget to {size // 2} or less"
                ) from error
            return None

    def _make_room(self, model: Any, parts: Sequence[MicroBatch]) -> None:
        """Halve the budget; behind the failed attempt, whose traceback held its tensors."""
        model.zero_grad()
        free_memory()
        size = self._largest_size(parts)
        is_split = any(len(part.branch_N) > 1 for part in parts)
        if not largest(is_split, self.family.device):
            raise TrainingError(
                f"out of memory with a single completion behind its prompt ({size} tokens); shorten "
                "prompts.max_new_tokens, use smaller images, gradient_checkpointing: true, or model.lora"
            )
        self.token_budget = max(1, int(largest(size, self.family.device)) // 2)
        logging.getLogger("pondera").warning(
            "out of memory with %d tokens in a micro-batch; the step is done again with %d at most, and so are those "
            "to come: set token_budget in the recipe to save the attempt",
            size,
            self.token_budget,
        )

    def _largest_size(self, parts: Sequence[MicroBatch]) -> int:
        """Of a micro-batch, in tokens."""
        return max(num_tokens(part.groups, is_packed=self._is_packed(part.groups)) for part in parts)

    def _accumulate(
        self, model: Any, lesson: Lesson, parts: Sequence[MicroBatch], backward: Callable[[torch.Tensor], None]
    ) -> dict[str, float]:
        sums: dict[str, float] = defaultdict(float)
        # FSDP2 averages gradients over processes where the loss is already that of the global batch.
        scale = world_size() if is_sharded(self.family.model) else 1
        with _unsynchronised(model):
            for part, counts in self._in_step(parts):
                loss, values = self._part_loss(model, lesson, part)
                backward(loss * (scale if counts else 0))
                for name, value in values.items() if counts else ():
                    sums[name] += value
        return dict(sums)

    def _in_step(self, parts: Sequence[MicroBatch]) -> Iterator[tuple[MicroBatch, bool]]:
        """Micro-batches, and whether they count: sharded processes pass through the model equally often."""
        yield from ((part, True) for part in parts)
        if is_sharded(self.family.model):
            for _ in range(int(largest(len(parts), self.family.device)) - len(parts)):
                yield parts[-1], False

    def _part_loss(self, model: Any, lesson: Lesson, part: MicroBatch) -> tuple[torch.Tensor, dict[str, float]]:
        packed = pack(self.family, part.groups)
        has_bonus = self.stage.entropy_weight > 0
        logp_M, entropy_M = packed_logps(model, packed, with_entropy=True, entropy_gradient=has_bonus)
        tokens = self._tokens(model, lesson, part, packed, logp_M)
        loss_M, values = policy_token_loss(self.stage, tokens)
        values["rollout_gap"] = (
            tokens.old_logp_M - tokens_of(lesson.sampled_logp_NT, part.branch_N, logp_M.device)
        ).abs()
        of_M = torch.tensor(part.branch_N, device=logp_M.device)[packed.branch_M]
        update = Update(lesson.rollouts, part, packed, logp_M, entropy_M, lesson.weight_N.to(logp_M.device)[of_M])
        loss = (update.weight_M * loss_M).sum()
        if has_bonus:
            loss = loss - self.stage.entropy_weight * entropy_bonus(entropy_M, num_tokens=lesson.num_tokens)
        sums = {name: float(value_M.sum()) for name, value_M in {**values, "entropy": entropy_M.detach()}.items()}
        for view in self.second_views:
            more, view_values = view.loss(model, update)
            loss = loss + more
            sums |= {name: value * len(logp_M) for name, value in view_values.items()}
        return loss, sums | {"loss": float(loss.detach())}

    def _tokens(self, model: Any, lesson: Lesson, part: MicroBatch, packed: Any, logp_M: torch.Tensor) -> ScoredTokens:
        """The scored tokens; on the first update the old policy is this one, and the reference is asked once."""
        numbers, device = part.branch_N, logp_M.device
        lesson.keep(lesson.old_logp_NT, logp_M, numbers)
        tokens = ScoredTokens(
            logp_M,
            tokens_of(lesson.old_logp_NT, numbers, device),
            tokens_of(lesson.advantage_NT, numbers, device),
            packed.branch_M,
            learns_M=tokens_of(lesson.learns_NT, numbers, device) if lesson.learns_NT else None,
        )
        if not self.has_kl:
            return tokens
        if not all(n in lesson.reference_logp_NT for n in numbers):
            lesson.keep(lesson.reference_logp_NT, self._reference_logps(model, packed), numbers)
        return replace(
            tokens,
            reference_logp_M=tokens_of(lesson.reference_logp_NT, numbers, device),
            kl_weight_M=tokens_of(lesson.kl_weight_NT, numbers, device),
        )

    @torch.no_grad()
    def _reference_logps(self, model: Any, packed: Any) -> torch.Tensor:
        if self.reference is not None:
            return packed_logps(self.reference, packed)[0]
        with self.family.model.disable_adapter():
            return packed_logps(model, packed)[0]

    @torch.no_grad()
    def _entropies(self, model: Any, lesson: Lesson, parts: Sequence[MicroBatch]) -> dict[int, torch.Tensor]:
        """Entropy of each token under the policy that sampled."""
        entropy_NT: dict[int, torch.Tensor] = {}
        for part, counts in self._in_step(parts):
            _, entropy_M = packed_logps(model, pack(self.family, part.groups), with_entropy=True)
            if counts:
                lesson.keep(entropy_NT, entropy_M.cpu(), part.branch_N)
        return entropy_NT

    def _gate(self, entropy_NT: Mapping[int, torch.Tensor]) -> dict[int, torch.Tensor]:
        """Which tokens are among the share of highest entropy of the global batch."""
        everywhere = gathered(torch.cat(list(entropy_NT.values())))
        least = entropy_threshold(torch.cat(everywhere), fraction=self.stage.entropy_share)
        return {n: entropy_T >= least for n, entropy_T in entropy_NT.items()}


def _unsynchronised(model: Any) -> AbstractContextManager[Any]:
    """No exchange of gradients during backward passes: `sum_gradients` does it once, behind the last."""
    return model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext()
