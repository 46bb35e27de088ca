"""The assessor: one object that scores media, in four modes.

`reason`: the model thinks aloud and answers, greedily. `expected`: the same thought, and behind it the expected score
from the probabilities of the answer's digits. `fast`: that expectation without a thought. `consensus`: several seeded
samples; their mean and spread.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from pondera import prompts
from pondera._version import __version__
from pondera.assess.expected import expected_scores
from pondera.core.answers import Answer, Numbers
from pondera.core.aspects import read_grades
from pondera.core.records import Assessment, LabelScale, Media, MediaKind, Sample
from pondera.data.presentation import Change, Presentation, kind_of, present, show_image
from pondera.errors import ConfigError, ManifestError, MediaError, MissingExtra, ModelError
from pondera.generate.backend import sample_seed
from pondera.generate.transformers_backend import TransformersBackend
from pondera.models import BUILT_IN_FOR, TOWERS, EncodedPrompt, Family, LoadedModel, ModelCard, load_model
from pondera.prompts import Prompt

Mode = Literal["reason", "expected", "fast", "consensus"]
NO_ANSWER = "no valid answer"  # how the error begins of a sample that was read, and got an answer of no use


@dataclass(frozen=True)
class Comparison:
    """Which of two looks better.

    Args:
        first: assessment of A.
        second: assessment of B.
        better: "A", "B" or "tie".
        margin: score of A minus score of B, on their scale.
        probability: that A is better, from margin and spreads taken as normal; NaN where no spread is known.
        reason: the difference in words.
    """

    first: Assessment
    second: Assessment
    better: str
    margin: float
    probability: float
    reason: str


@dataclass(frozen=True, slots=True)
class _Question:
    """What a model is shown, and the words behind it."""

    shown: Presentation
    words: str


class Assessor:
    """Scores images with one model.

    Args:
        family: model and processor.
        card: how to ask the model.
        scale: of the scores returned; the card's own by default.
        batch_size: images read side by side; scores do not depend on it but for rounding.
        weights_hash: for the fingerprint.
        change: makes another view of what is shown, to find out what a score rests on; its name goes into the
            fingerprint, and what varies is seeded by the file's name.
    """

    def __init__(
        self,
        family: Family,
        card: ModelCard,
        *,
        scale: LabelScale | None = None,
        batch_size: int = 16,
        weights_hash: str = "unsaved",
        change: Change | None = None,
    ) -> None:
        self.family = family
        self.card = card
        self.scale = scale or card.scale
        self.batch_size = batch_size
        self.weights_hash = weights_hash
        self.change = change
        self.backend = TransformersBackend(family)

    def __call__(
        self, media: Any, mode: Mode = "fast", *, samples: int = 8, temperature: float = 1.0, seed: int = 0
    ) -> Any:
        """Score one image or video, or a list of them.

        Args:
            media: a path, a PIL image, a uint8 array [H, W, 3], a `Sample`, what `present` made, or a list of these. A
                path is a video's when its name ends like one; a `.gif` is what the model judges.
            mode: reason, expected, fast or consensus.
            samples: completions per image in consensus mode, >= 2.
            temperature: of these completions, > 0.
            seed: of these completions.

        Returns:
            One `Assessment`, or a list in the same order. A file that cannot be read, and one without the text that
            the prompt asks about (`Sample.text`), gives an assessment with its error; it does not stop the others.

        Raises:
            ConfigError: an option is wrong.
        """
        options: dict[str, Any] = {"samples": samples, "temperature": temperature, "seed": seed}
        if isinstance(media, (list, tuple)):
            return list(self.stream(media, mode, **options))
        return next(self.stream([media], mode, **options))

    def stream(
        self,
        media: Iterable[Any],
        mode: Mode = "fast",
        *,
        samples: int = 8,
        temperature: float = 1.0,
        seed: int = 0,
        on_shown: Callable[[Any, Presentation], None] | None = None,
    ) -> Iterator[Assessment]:
        """The same, one assessment after the other, in bounded memory.

        Args:
            media: as for a call.
            mode: as for a call.
            samples: as for a call.
            temperature: as for a call.
            seed: as for a call.
            on_shown: called with each item and what the model is shown of it, where it can be read.
        """
        self._check_options(mode, samples, temperature)
        fingerprint = self.fingerprint(mode, samples=samples, temperature=temperature, seed=seed)
        items = iter(media)
        while batch := list(islice(items, self.batch_size)):
            start = time.perf_counter()
            loaded = [self._question(item, mode) for item in batch]
            asked = [(item, x) for item, x in zip(batch, loaded, strict=True) if isinstance(x, _Question)]
            for item, question in asked:
                if on_shown is not None:
                    on_shown(item, question.shown)
            seeds = [sample_seed(_name(item), seed=seed) for item, _ in asked]
            judged = iter(self._judge([q for _, q in asked], mode, samples, temperature, seeds) if asked else [])
            seconds = (time.perf_counter() - start) / len(batch)
            for item, x in zip(batch, loaded, strict=True):
                if isinstance(x, str):
                    result = Assessment("", math.nan, self.scale, mode, valid=False, error=x)
                else:
                    result = next(judged)
                yield replace(result, path=_name(item), seconds=seconds, fingerprint=fingerprint)

    def compare(self, first: Any, second: Any, mode: Mode = "consensus", **options: Any) -> Comparison:
        """Which of two images looks better, by how much, and why.

        Raises:
            MediaError: one of them cannot be read or got no valid answer.
        """
        a, b = self([first, second], mode, **options)
        for assessment in (a, b):
            if assessment.error is not None:
                raise MediaError(assessment.error)
        margin = a.score - b.score
        spread = math.hypot(a.spread, b.spread)
        probability = math.nan if math.isnan(spread) else _normal_cdf(margin, spread)
        better = "tie" if abs(margin) < 0.005 * self.scale.width else ("A" if margin > 0 else "B")
        return Comparison(a, b, better, margin, probability, _difference(a, b))

    def fingerprint(self, mode: Mode, **options: Any) -> str:
        """A hash of everything a score depends on: weights, prompt, preprocessing, mode, library versions."""
        parts = self.protocol(mode)
        if mode == "consensus":
            parts = parts | options
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def protocol(self, mode: Mode) -> dict[str, Any]:
        """What the fingerprint is made of, readable."""
        import transformers

        image_processor = getattr(self.family.processor, "image_processor", None)
        preprocessing = image_processor.to_dict() if image_processor is not None else {}
        self._check_mode(mode)
        prompt = self._prompt(mode)
        return {
            "mode": mode,
            "weights": self.weights_hash,
            "dtype": str(self.family.model.dtype),
            "prompt": prompt.name,
            "prompt_hash": prompt.hash,
            "preprocessing": json.loads(json.dumps(preprocessing, default=str, sort_keys=True)),
            "max_new_tokens": self.card.max_new_tokens,
            "view": asdict(self.card.view) | ({} if self.change is None else {"change": _qualified(self.change)}),
            "scale": [self.scale.low, self.scale.high],
            "pondera": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }

    def asking(self, question: str) -> Assessor:
        """The same model asked another question; `ModelCard.asked` says which there are.

        Raises:
            ConfigError: the model has no prompt for it.
        """
        card = self.card.asked(question)
        if card is self.card:
            return self
        return Assessor(
            self.family,
            card,
            scale=None if self.scale == self.card.scale else self.scale,
            batch_size=self.batch_size,
            weights_hash=self.weights_hash,
            change=self.change,
        )

    def _prompt(self, mode: Mode) -> Prompt:
        return prompts.get(self.card.fast_prompt if mode == "fast" else self.card.prompt)

    def _check_options(self, mode: str, samples: int, temperature: float) -> None:
        self._check_mode(mode)
        if mode == "consensus" and samples < 2:
            raise ConfigError(f"consensus needs at least 2 samples, got {samples}; use mode reason for one")
        if mode == "consensus" and temperature <= 0:
            raise ConfigError(f"consensus needs temperature > 0, got {temperature}: greedy samples are all the same")

    def _check_mode(self, mode: str) -> None:
        if mode not in get_args(Mode):
            raise ConfigError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
        if mode == "fast" and not self.card.fast_prompt:
            raise ModelError("this model was not taught to answer without a thought. Use mode reason")
        if mode in ("fast", "expected") and not isinstance(self.card.answer.body, Numbers):
            raise ModelError(f"{mode} mode reads numbers; this model answers in JSON. Use mode reason")

    def _judge(
        self, asked: Sequence[_Question], mode: Mode, samples: int, temperature: float, seeds: Sequence[int]
    ) -> list[Assessment]:
        encoded = [self.family.encode(question.shown.parts, question.words) for question in asked]
        if mode == "fast":
            return self._fast(encoded)
        greedy = mode != "consensus"
        groups = self.backend.generate(
            encoded,
            num_completions=1 if greedy else samples,
            max_new_tokens=self.card.max_new_tokens,
            temperature=0.0 if greedy else temperature,
            seeds=seeds,
        )
        texts = [[completion.text for completion in group] for group in groups]
        found = [self._from_texts(group, mode) for group in texts]
        return self._with_expectations(encoded, found) if mode == "expected" else found

    def present(self, item: Any) -> Presentation:
        """What the model is shown of a path, an image or a sample; what was made here before comes back as it is.

        Raises:
            ModelError: the model judges images and this is a video, or the other way round.
            MediaError, ManifestError, MissingExtra: as in `pondera.data.presentation.present`.
        """
        if isinstance(item, Presentation):
            return item
        own = self.card.kind
        sample = item if isinstance(item, Sample) else Sample("", ())
        if isinstance(item, (str, Path)):
            sample = Sample(str(item), (Media(str(item)),), kind=kind_of(item, own))
        if sample.kind != own:
            raise ModelError(
                f"{_name(item) or 'the picture'}: this model judges {own}s ({self.card.prompt}), not {sample.kind}s; "
                f"give one whose prompt asks about {sample.kind}s, such as {BUILT_IN_FOR[sample.kind]!r}"
            )
        shown = present(sample, self.card.view) if sample.media else show_image(item)
        return shown if self.change is None else self.change(shown, sample, sample_seed(_name(item), seed=0))

    def _question(self, item: Any, mode: Mode) -> _Question | str:
        """What the model is asked, or why it cannot be asked."""
        try:
            return _Question(self.present(item), _words(self._prompt(mode), item))
        except (MediaError, ManifestError, MissingExtra, ModelError) as error:
            return str(error)

    def _fast(self, encoded: Sequence[EncodedPrompt]) -> list[Assessment]:
        return [self._assessment("fast", score, spread=spread) for score, spread in self._expected(encoded)]

    def _with_expectations(self, encoded: Sequence[EncodedPrompt], assessed: Sequence[Assessment]) -> list[Assessment]:
        """Greedy assessments with the expected score behind their thought; an invalid one stays so."""
        own, valid = self.card.scale, [i for i, assessment in enumerate(assessed) if assessment.valid]
        behind = []
        for i in valid:
            thought = assessed[i].completion.rpartition("<answer>")[0]
            behind.append(replace(encoded[i], ids=(*encoded[i].ids, *self.family.encode_text(thought))))
        found = list(assessed)
        for i, (score, spread) in zip(valid, self._expected(behind), strict=True):
            found[i] = replace(
                assessed[i], score=own.convert(score, self.scale), spread=own.convert_std(spread, self.scale)
            )
        return found

    @torch.no_grad()
    def _expected(self, encoded: Sequence[EncodedPrompt]) -> list[tuple[float, float]]:
        """Expected score and spread of the answer that comes next, on the model's own scale."""
        body = self.card.answer.body
        assert isinstance(body, Numbers)  # checked with the options
        if not encoded:
            return []
        score_P, spread_P = expected_scores(self.family, encoded, body)
        return list(zip(score_P.tolist(), spread_P.tolist(), strict=True))

    def _from_texts(self, texts: Sequence[str], mode: Mode) -> Assessment:
        answers = [self.card.answer.parse(text) for text in texts]
        valid = [i for i, answer in enumerate(answers) if answer.is_valid]
        if not valid:
            error = f"{NO_ANSWER}: {answers[0].error}"
            return Assessment("", math.nan, self.scale, mode, valid=False, error=error, completion=texts[0])
        scores = np.array([answers[i].score for i in valid])
        score = float(scores.mean())
        spread = float(scores.std(ddof=1)) if len(valid) > 1 else math.nan
        nearest = valid[int(np.abs(scores - score).argmin())]
        return self._assessment(mode, score, spread=spread, answer=answers[nearest], completion=texts[nearest])

    def _assessment(
        self, mode: Mode, score: float, *, spread: float, answer: Answer | None = None, completion: str = ""
    ) -> Assessment:
        own = self.card.scale
        reasoning = (answer.think or "") if answer else ""
        return Assessment(
            path="",
            score=own.convert(score, self.scale),
            scale=self.scale,
            mode=mode,
            spread=own.convert_std(spread, self.scale),
            reasoning=reasoning,
            aspects=read_grades(reasoning),
            numbers=self._numbers(answer),
            completion=completion,
        )

    def _numbers(self, answer: Answer | None) -> dict[str, float]:
        body = self.card.answer.body
        if answer is None or not isinstance(body, Numbers) or body.n == 1:
            return {}
        names = body.names or [str(n) for n in range(1, body.n + 1)]
        own = self.card.scale
        return {name: own.convert(value, self.scale) for name, value in zip(names, answer.values, strict=True)}


def load(
    model: str = "nano",
    *,
    device: str | None = None,
    scale: tuple[float, float] | None = None,
    kind: MediaKind = "image",
) -> Assessor:
    """Load a model that scores images or videos.

    Args:
        model: `nano` (images), `nano-video`, a folder, or a hub id.
        device: such as "cpu" or "cuda"; the best there is by default.
        scale: (low, high) of the scores wanted; the model's own by default.
        kind: of media that a checkpoint without a model card is asked about.

    Raises:
        ModelError: the model cannot be loaded.
    """
    if model in TOWERS:
        raise ModelError(
            f"{model!r} has no speech: it is {TOWERS[model]}. Score with 'nano', or a model trained from it"
        )
    loaded: LoadedModel = load_model(model, device=device, kind=kind)
    wanted = LabelScale(*scale) if scale is not None else None
    return Assessor(loaded.family, loaded.card, scale=wanted, weights_hash=loaded.weights_hash)


def _qualified(function: Any) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _name(item: Any) -> str:
    if isinstance(item, Sample):
        return item.main_path
    return str(item) if isinstance(item, (str, Path)) else ""


def _words(prompt: Prompt, item: Any) -> str:
    """The question about one item, with the text of its sample where it asks for one."""
    if "text" not in prompt.fields:
        return prompt.render()
    text = item.text if isinstance(item, Sample) else None
    if text is None:
        raise ManifestError(
            f"{_name(item) or 'the picture'}: prompt {prompt.name!r} asks about a text and there is none; give a "
            'sample with its text ("text" in its manifest line)'
        )
    return prompt.render(text=text)


def _normal_cdf(margin: float, spread: float) -> float:
    if spread == 0:
        return 0.5 if margin == 0 else float(margin > 0)
    return 0.5 * (1 + math.erf(margin / (spread * math.sqrt(2))))


def _difference(a: Assessment, b: Assessment) -> str:
    """Where the grades differ most, in words."""
    shared = [aspect for aspect in a.aspects if aspect in b.aspects and a.aspects[aspect] != b.aspects[aspect]]
    if not shared:
        return "No aspect is graded differently."
    shared.sort(key=lambda aspect: -abs(a.aspects[aspect] - b.aspects[aspect]))
    better = [x for x in shared if a.aspects[x] > b.aspects[x]]
    worse = [x for x in shared if a.aspects[x] < b.aspects[x]]
    parts = [
        f"A is better in {', '.join(better)}" if better else "",
        f"B is better in {', '.join(worse)}" if worse else "",
    ]
    return "; ".join(part for part in parts if part) + "."
