"""A trainer on scripted completions, and the same arithmetic without it: one sequence at a time, nothing packed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pondera.config import ReinforceStage
from pondera.core.presets import get_system
from pondera.core.records import FIVE_POINT, Media, Sample
from pondera.core.system import System
from pondera.data.photographs import list_photographs
from pondera.engine.reinforce import ReinforceTrainer
from pondera.engine.rollouts import Rollouts
from pondera.engine.second_views.plan import plan_views
from pondera.engine.training import SampleList, StageRun, training_arguments
from pondera.generate.backend import Completion
from pondera.models import EncodedPrompt, Family, ModelCard
from tests.models.tiny import tiny_family

GROUPS = (
    (
        "<think>The photo looks blurred; sharpness is poor, noise is good.</think><answer>2.41</answer>",
        "<think>A clean picture; sharpness is excellent.</think><answer>4.73</answer>",
        "<think>noise is fair, about 3 of 5.</think><answer>3.20</answer>",
    ),
    (
        "<think>sharpness is poor.</think><answer>1.73</answer>",
        "<think>The photo looks clean, and then",
        "<think>The photo looks clean.</think><answer>4.10</answer>",
    ),
)
FURTHER = (
    ("<think>noise is poor.</think><answer>2.20</answer>", "<think>blurred</think><answer>3.90</answer>"),
    ("<think>sharpness is good.</think><answer>4.70</answer>", "<think>no answer"),
)
MOS = (2.8, 4.2)


class Scripted:
    """Gives fixed texts: `GROUPS` first, `FURTHER` from then on. Keeps the prompts it was given.

    Args:
        family: tokens and log-probabilities.
        prefix: put before each number.
        first: number of the first sample, on a process that has the later ones.
    """

    def __init__(self, family: Family, prefix: str, first: int = 0) -> None:
        self.family, self.prefix, self.first, self.asked = family, prefix, first, []

    def refresh(self, step):
        pass

    def generate(self, prompts, *, num_completions, max_new_tokens, temperature, seeds):
        texts = FURTHER if self.asked else GROUPS
        self.asked.append((prompts, num_completions, seeds))
        return [
            [
                self._completion(prompt, text.replace("<answer>", "<answer>" + self.prefix))
                for text in group[:num_completions]
            ]
            for prompt, group in zip(prompts, texts[self.first : self.first + len(prompts)], strict=True)
        ]

    def _completion(self, prompt: EncodedPrompt, text: str) -> Completion:
        ids = tuple(self.family.encode_text(text))
        with torch.no_grad():
            logp_T = plain_logps(self.family, prompt, ids)
        return Completion(ids, tuple(logp_T.tolist()), text, True)


def samples_in(folder: Path, *, num_frames: int = 0, **fields: object) -> list[Sample]:
    """Two labelled samples: photographs, or frames of a video."""
    samples = []
    for n, mos in enumerate(MOS):
        picture = Image.open(list_photographs()[n]).convert("RGB").resize((64, 48))
        media = []
        for t in range(max(1, num_frames)):
            path = folder / f"{n}-{t}.png"
            Image.fromarray(np.roll(np.asarray(picture), 3 * t, axis=1)).save(path)
            media.append(Media(str(path), "frame" if num_frames else "test"))
        kind = "video" if num_frames else "image"
        samples.append(Sample(f"s{n}", tuple(media), kind=kind, mos=mos, scale=FIVE_POINT, **fields))
    return samples


def trainer_on(
    samples: Sequence[Sample],
    folder: Path,
    *,
    system: str = "pondera",
    card: ModelCard | None = None,
    **settings: object,
) -> ReinforceTrainer:
    """A trainer with the views of its stage and a scripted back-end."""
    values = {"optimiser": {"learning_rate": 1e-3}, "steps": 1, "samples_per_step": 2, "group_size": 3}
    stage = ReinforceStage.model_validate(values | {"system": system} | settings)
    card, built = card or ModelCard(), get_system(system)
    family = tiny_family()
    for parameter in family.model.parameters():  # or all predictions would be alike
        if parameter.ndim == 2:
            parameter.data *= 6
    run = StageRun(folder, folder / "metrics.jsonl")
    arguments = training_arguments(stage, run, batch_size=2, max_steps=1)
    trainer = ReinforceTrainer(
        family,
        card,
        stage,
        built,
        run,
        plan=plan_views(stage, built, card, samples),
        args=arguments,
        train_dataset=SampleList(samples),
    )
    prefix = card.answer.body.prefix
    trainer.backend = Scripted(family, f"{prefix} " if prefix else "")
    for view in trainer.second_views:
        object.__setattr__(view.tools, "backend", trainer.backend)
    return trainer


def roll_out(trainer: ReinforceTrainer, samples: Sequence[Sample]) -> Rollouts:
    trainer.backend.asked.clear()
    return trainer._roll_out(samples, range(len(samples)), 0)


def step_gradient(trainer: ReinforceTrainer, samples: Sequence[Sample]) -> torch.Tensor:
    """The gradient that one training step leaves."""
    trainer.backend.asked.clear()
    trainer.family.model.zero_grad()
    trainer.training_step(trainer.family.model, {"samples": samples, "places": range(len(samples))})
    return gradient(trainer.family)


def gradient(family: Family) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in family.model.parameters() if p.grad is not None])


def plain_logps(family: Family, prompt: EncodedPrompt, ids: Sequence[int]) -> torch.Tensor:
    """Log-probabilities of a continuation, from one plain causal pass over one unpadded row, [T]."""
    row = torch.tensor([[*prompt.ids, *ids]])
    logits_TV = family.model(input_ids=row, use_cache=False, **prompt.media).logits[0]
    first = len(prompt.ids) - 1
    return logits_TV[first:-1].log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]


def plain_policy_gradient(
    trainer: ReinforceTrainer, rollouts: Rollouts, side: Mapping[str, np.ndarray]
) -> torch.Tensor:
    """Gradient of the mean over completions of the mean over tokens of -A logp, A from these side arrays."""
    system: System = trainer.system
    pool = system.pool(rollouts.samples, [[c.text for c in group] for group in rollouts.groups], side=side)
    advantage_SK = system.judge(pool).advantage_SK
    trainer.family.model.zero_grad()
    terms = [
        -float(advantage_SK[s, k]) * plain_logps(trainer.family, prompt, completion.ids).mean()
        for s, (prompt, group) in enumerate(zip(rollouts.prompts, rollouts.groups, strict=True))
        for k, completion in enumerate(group)
    ]
    (sum(terms) / len(terms)).backward()
    return gradient(trainer.family)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())
