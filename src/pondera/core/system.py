"""A system: how completions are read, what they earn, and what that is worth beside their group.

`System.pool` reads completions, `System.reward` adds up the terms, `System.judge` adds the advantages. All three are
pure: the engine, `rewards explain` and the tests call the same functions.

Shape letters: S samples in a pool, K completions per sample (a group).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pondera.core.advantage_plan import AdvantagePlan, Rewarded
from pondera.core.answers import Answer, AnswerFormat, Json, NumberField, Numbers
from pondera.core.pool import BoolArray, Pool
from pondera.core.records import FIVE_POINT, FloatArray, LabelScale, Sample
from pondera.core.rewards.base import Term, readable
from pondera.errors import ConfigError


@dataclass(frozen=True)
class Ramp:
    """A factor that goes linearly from one value to another between two steps, and is constant outside.

    Args:
        start: value up to `first_step`.
        end: value from `last_step` on.
        first_step: step at which it begins to move, >= 0.
        last_step: step at which it arrives, > first_step.

    Raises:
        ValueError: the steps are not in order, or a value is not finite.
    """

    start: float
    end: float
    first_step: int
    last_step: int

    def __post_init__(self) -> None:
        if not (0 <= self.first_step < self.last_step and math.isfinite(self.start) and math.isfinite(self.end)):
            raise ValueError(f"a ramp needs finite values and 0 <= first_step < last_step, got {self}")

    def __call__(self, step: int) -> float:
        """The factor at a step."""
        share = (step - self.first_step) / (self.last_step - self.first_step)
        return self.start + (self.end - self.start) * min(max(share, 0.0), 1.0)


@dataclass(frozen=True)
class Weighted:
    """A term and how much it counts.

    Args:
        term: the reward term.
        weight: factor, finite.
        weight_at: a further factor by step; None = 1.
        tasks: only samples of these tasks earn it and are compared by it; empty = all.
        label: its name in results; the term's name when empty. Two uses of one term need two labels.
        optional: count it only in pools that carry its side arrays (a second view that some samples do not have);
            otherwise a pool without them is refused.

    Raises:
        ValueError: the weight is not finite.
    """

    term: Term
    weight: float = 1.0
    weight_at: Ramp | None = None
    tasks: tuple[str, ...] = ()
    label: str = ""
    optional: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight):
            raise ValueError(f"weight of term {self.term.name!r} must be finite, got {self.weight}")

    @property
    def name(self) -> str:
        """The label, or the term's name."""
        return self.label or self.term.name

    def factor(self, step: int) -> float:
        """Weight at a step."""
        return self.weight * (1.0 if self.weight_at is None else self.weight_at(step))

    def missing_side(self, side: Iterable[str]) -> tuple[str, ...]:
        """Side arrays that the term reads and that are not among `side`."""
        return tuple(sorted(set(self.term.needs_side) - set(side)))

    def values(self, pool: Pool) -> FloatArray:
        """Unweighted values [S, K]; 0 for samples of other tasks, and where invalid or not present."""
        if not self.tasks or set(pool.task_S) <= set(self.tasks):
            return self.term(pool)
        value_SK = np.zeros(pool.score_SK.shape)
        mine_U = np.flatnonzero([task in self.tasks for task in pool.task_S])
        if mine_U.size:
            value_SK[mine_U] = self.term(_subpool(pool, mine_U))
        return value_SK


@dataclass(frozen=True)
class Judged:
    """What a system says about the roll-outs of a pool.

    Args:
        terms: weighted contribution of each term by label, [S, K]; 0 for invalid roll-outs.
        raw: the same without weight.
        reward_SK: the total; the floor where invalid, NaN where not present.
        advantage_SK: 0 where not present, and in groups that were dropped.
        keep_S: groups that the filters kept.
    """

    terms: dict[str, FloatArray]
    raw: dict[str, FloatArray]
    reward_SK: FloatArray
    advantage_SK: FloatArray
    keep_S: BoolArray


@dataclass(frozen=True)
class System:
    """A published (or our own) way to read, reward and compare completions.

    The reward of a valid roll-out is sum(weight * term) over the terms of branch `format`, plus the sum over all
    others divided by `divisor`. An invalid roll-out earns exactly `floor`.

    Args:
        name: preset name, with `@as_released` where it is that.
        scale: working scale; labels are converted to it, constants are in its units.
        terms: at least one.
        answer: form of the answer for the task `score`; plain numbers on another scale than the working one are moved
            to it.
        answers: form for every other task that the system can reward.
        also: further forms that count as an answer to the task `score`, tried in this order.
        advantage: from rewards to advantages.
        floor: total reward of an invalid roll-out.
        divisor: see above, > 0.
        as_released: the released code to the letter.
        stage: stage of a system with stages, else "".
        second_views: kinds of second views whose loss belongs to the system, beside those that its side arrays need.
        source: paper and code.
        notes: what is stated, inferred, unknown, and ours.

    Raises:
        ConfigError: the parts do not fit together.
    """

    name: str
    terms: tuple[Weighted, ...]
    scale: LabelScale = FIVE_POINT
    answer: AnswerFormat = field(default_factory=AnswerFormat)
    answers: Mapping[str, AnswerFormat] = field(default_factory=dict)
    also: tuple[AnswerFormat, ...] = ()
    advantage: AdvantagePlan = field(default_factory=AdvantagePlan)
    floor: float = 0.0
    divisor: float = 1.0
    as_released: bool = False
    stage: str = ""
    second_views: tuple[str, ...] = ()
    source: str = ""
    notes: str = ""

    def __post_init__(self) -> None:
        labels = [weighted.name for weighted in self.terms]
        if not labels or len(set(labels)) != len(labels):
            raise ConfigError(f"system {self.name!r} needs terms with labels of their own, got {labels}")
        if not (math.isfinite(self.floor) and math.isfinite(self.divisor) and self.divisor > 0):
            raise ConfigError(
                f"system {self.name!r}: floor must be finite and divisor > 0, got {self.floor} and {self.divisor}"
            )
        for weighted in self.terms:
            if unknown := sorted(set(weighted.tasks) - set(self.tasks)):
                raise ConfigError(
                    f"system {self.name!r}: term {weighted.name!r} is for task {unknown[0]!r}, which has no answer "
                    f"format; add one to `answers`"
                )
        for step in self.advantage.steps:
            if missing := sorted(set(step.reads_terms()) - set(labels)):
                raise ConfigError(
                    f"system {self.name!r}: {type(step).__name__} reads term {missing[0]!r}; the terms are {labels}"
                )

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks whose answers the system can read."""
        return tuple(dict.fromkeys(("score", *self.answers)))

    @property
    def answer_scale(self) -> LabelScale:
        """The scale of plain numbers in an answer to the task `score`; the working one where it is made of others."""
        body = self.answer.body
        return LabelScale(body.low, body.high) if isinstance(body, Numbers) else self.scale

    @property
    def needs_side(self) -> tuple[str, ...]:
        """Side arrays without which a pool is refused."""
        names = [name for w in self.terms if not w.optional for name in w.term.needs_side]
        return tuple(dict.fromkeys([*names, *self.advantage.needs_side]))

    @property
    def reads_side(self) -> tuple[str, ...]:
        """Side arrays that a term or the advantage looks at, needed or not."""
        names = [name for w in self.terms for name in w.term.needs_side]
        return tuple(dict.fromkeys([*names, *self.advantage.needs_side]))

    @property
    def min_samples(self) -> int:
        """Samples of one dataset that a pool needs so that every term has something to compare."""
        return max(int(getattr(weighted.term, "min_samples", 1)) for weighted in self.terms)

    @property
    def min_group(self) -> int:
        """Completions per sample that training needs, at least 2."""
        return max(2, *(int(getattr(weighted.term, "min_group", 1)) for weighted in self.terms))

    def format_of(self, task: str = "score") -> AnswerFormat:
        """The form of an answer to a task.

        Raises:
            ConfigError: the system has no reward for it.
        """
        if task not in self.tasks:
            raise ConfigError(
                f"system {self.name!r} has no reward for task {task!r}; it handles {', '.join(self.tasks)}"
            )
        return self.answers.get(task, self.answer)

    def parse(self, text: str, task: str = "score") -> Answer:
        """Read a completion: the form of the task, then the further ones.

        Returns:
            The answer; if none of the forms fits, the verdict of the first.

        Raises:
            ConfigError: the system has no reward for the task.
        """
        first = self.format_of(task).parse(text)
        if first.is_valid or task != "score":
            return first
        others = (form.parse(text) for form in self.also)
        return next((answer for answer in others if answer.is_valid), first)

    def pool(
        self,
        samples: Sequence[Sample],
        text_SK: Sequence[Sequence[str]],
        *,
        num_tokens_SK: Sequence[Sequence[int]] | None = None,
        stage: str = "",
        step: int = 0,
        side: Mapping[str, FloatArray] | None = None,
    ) -> Pool:
        """Read the completions of samples of one dataset; labels are put on the working scale.

        Args:
            samples: S samples.
            text_SK: their completions.
            num_tokens_SK: lengths in tokens; number of white-space words when unknown.
            stage: name of the training stage.
            step: global step.
            side: arrays only the engine can compute, each [S, K].

        Raises:
            ConfigError: the system has no reward for a sample's task.
            ValueError: shapes differ, or there is no completion at all.
        """
        return Pool.build(
            [self._on_scale(sample) for sample in samples],
            text_SK,
            [[self._read(text, sample.task) for text in group] for sample, group in zip(samples, text_SK, strict=True)],
            scale=self.scale,
            num_tokens_SK=num_tokens_SK,
            stage=stage,
            step=step,
            side=side,
        )

    def asked_on(self, scale: LabelScale) -> System:
        """The same system for a prompt that asks for its numbers on another scale, with the same rewards.

        Numbers are read on that scale and moved to the working one, so the constants keep their meaning.

        Args:
            scale: of the prompt for the task `score`.

        Raises:
            ConfigError: its answer to the task `score` is not made of plain numbers, or has further forms.
        """
        body = self.answer.body
        if not isinstance(body, Numbers) or self.also:
            own = f"{self.scale.low:g} to {self.scale.high:g}"
            raise ConfigError(f"system {self.name!r} reads answers on its own scale only; ask on {own}")
        return replace(self, answer=replace(self.answer, body=replace(body, low=scale.low, high=scale.high)))

    def on_working_scale(self, answered: FloatArray) -> FloatArray:
        """Numbers on the scale of the answer, of any shape, moved to the working one; no clipping."""
        if self.answer_scale == self.scale:  # converting would round
            return answered
        moved: FloatArray = self.answer_scale.convert(answered, self.scale)
        return moved

    def reward(self, pool: Pool) -> Rewarded:
        """What every roll-out earns.

        Raises:
            ValueError: the pool is on another scale, lacks a side array, or a term gave no finite value.
        """
        if pool.scale != self.scale:
            raise ValueError(f"system {self.name!r} works on {self.scale}, the pool is on {pool.scale}; convert it")
        readable_SK = readable(pool)
        rewarded = Rewarded({}, {}, {}, {}, np.zeros(readable_SK.shape))
        total_SK = np.zeros(readable_SK.shape)
        for weighted in self.terms:
            if weighted.optional and weighted.missing_side(pool.side):
                continue
            raw_SK = np.where(readable_SK, weighted.values(pool), 0.0)
            _refuse_nan(raw_SK, weighted.name, pool)
            weight = weighted.factor(pool.step)
            if weighted.term.branch != "format":
                weight /= self.divisor
            rewarded.raw[weighted.name], rewarded.terms[weighted.name] = raw_SK, weight * raw_SK
            rewarded.weights[weighted.name], rewarded.branch[weighted.name] = weight, weighted.term.branch
            total_SK += weight * raw_SK
        valid_SK = np.where(readable_SK, total_SK, self.floor)
        return replace(rewarded, reward_SK=np.where(pool.present_SK, valid_SK, np.nan))

    def judge(self, pool: Pool) -> Judged:
        """Rewards and advantages.

        Raises:
            ValueError: as `reward`.
        """
        rewarded = self.reward(pool)
        advantage_SK, keep_S = self.advantage(pool, rewarded)
        return Judged(rewarded.terms, rewarded.raw, rewarded.reward_SK, advantage_SK, keep_S)

    def with_terms(self, weights: Mapping[str, float | Ramp], more: Sequence[Weighted] = ()) -> System:
        """The same system with other weights, and with further terms.

        Args:
            weights: by label, in place of the term's own: a number, or a ramp over steps. 0 silences a term.
            more: terms behind those of the system.

        Raises:
            ConfigError: there is no such label, or two terms have one label.
        """
        labels = [weighted.name for weighted in self.terms]
        if unknown := sorted(set(weights) - set(labels)):
            raise ConfigError(
                f"system {self.name!r} has no term {unknown[0]!r} to weigh; its terms are {', '.join(labels)}"
            )
        terms = [_reweighted(w, weights[w.name]) if w.name in weights else w for w in self.terms]
        return replace(self, terms=(*terms, *more))

    def formula(self) -> str:
        """The reward of a valid answer in plain text."""
        outer = [w for w in self.terms if w.term.branch == "format" or self.divisor == 1]
        inner = [w for w in self.terms if w not in outer]
        parts = [w.name if w.weight == 1 else f"{w.weight:g} {w.name}" for w in outer]
        if inner:
            summands = " + ".join(w.name if w.weight == 1 else f"{w.weight:g} {w.name}" for w in inner)
            parts.append(f"({summands}) / {self.divisor:g}")
        return " + ".join(parts)

    def labels_of(self, task: str) -> tuple[str, ...]:
        """Labels of the terms that count for a task, in order."""
        return tuple(w.name for w in self.terms if not w.tasks or task in w.tasks)

    def label_names(self, task: str) -> frozenset[str]:
        """Names under which the targets of a task other than `score` hold its labels: the fields of its answer.

        Raises:
            ConfigError: the system has no reward for the task.
        """
        body = self.format_of(task).body
        return frozenset(body.schema if isinstance(body, Json) else body.names)

    def reads_targets(self, task: str) -> frozenset[str]:
        """Names under which a sample's targets may hold a label of a task: those that its terms have as parameters, and
        the fields of its answer.

        Raises:
            ConfigError: the system has no reward for the task.
        """
        terms = [asdict(w.term) for w in self.terms if not w.tasks or task in w.tasks]  # type: ignore[call-overload]
        return frozenset(_texts(terms)) | self.label_names(task)

    def left_out(self, side: Iterable[str], tasks: Iterable[str] = ("score",)) -> dict[str, tuple[str, ...]]:
        """Optional terms of these tasks that do not count beside these side arrays, and what each lacks."""
        side, labels = tuple(side), {label for task in tasks for label in self.labels_of(task)}
        missing = {w.name: w.missing_side(side) for w in self.terms if w.optional and w.name in labels}
        return {name: names for name, names in missing.items() if names}

    def _read(self, text: str, task: str) -> Answer:
        """A parsed completion with its numbers on the working scale."""
        answer = self.parse(text, task)
        if task != "score" or not answer.is_valid:
            return answer
        values = tuple(self.on_working_scale(np.array(answer.values)).tolist())
        return replace(answer, values=values, score=float(self.on_working_scale(np.array(answer.score))))

    def _on_scale(self, sample: Sample) -> Sample:
        """The sample with the targets that its answer gives as numbers moved to the working scale; mos moves later."""
        body = self.format_of(sample.task).body
        if sample.scale is None or sample.scale == self.scale or not isinstance(body, Json):
            return sample
        names = [name for name, spec in body.schema.items() if isinstance(spec, NumberField)]
        moved = {n: sample.scale.convert(v, self.scale) for n in names if _is_number(v := sample.targets.get(n))}
        return replace(sample, targets={**sample.targets, **moved})


def _texts(value: Any) -> list[str]:
    """All texts in nested plain data, but for the keys of mappings."""
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return [text for part in parts for text in _texts(part)]


def _reweighted(weighted: Weighted, weight: float | Ramp) -> Weighted:
    if isinstance(weight, Ramp):
        return replace(weighted, weight=1.0, weight_at=weight)
    return replace(weighted, weight=weight, weight_at=None)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _subpool(pool: Pool, index_U: NDArray[np.intp]) -> Pool:
    """The pool of some of its samples."""
    return replace(
        pool,
        value_SKn=pool.value_SKn[index_U],
        score_SK=pool.score_SK[index_U],
        valid_SK=pool.valid_SK[index_U],
        present_SK=pool.present_SK[index_U],
        mos_S=pool.mos_S[index_U],
        mos_std_S=pool.mos_std_S[index_U],
        sample_S=tuple(pool.sample_S[s] for s in index_U),
        text_SK=[pool.text_SK[s] for s in index_U],
        answer_SK=[pool.answer_SK[s] for s in index_U],
        num_tokens_SK=pool.num_tokens_SK[index_U],
        target_S=[pool.target_S[s] for s in index_U],
        task_S=tuple(pool.task_S[s] for s in index_U),
        side={name: array_SK[index_U] for name, array_SK in pool.side.items()},
    )


def _refuse_nan(raw_SK: FloatArray, label: str, pool: Pool) -> None:
    for s, k in np.argwhere(~np.isfinite(raw_SK)):
        raise ValueError(
            f"reward term {label!r} gave {raw_SK[s, k]} for completion {k} of sample {pool.sample_S[s]!r}; a valid "
            "answer must earn a finite value: check the sample's labels and side arrays"
        )
