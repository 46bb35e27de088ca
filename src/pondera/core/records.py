"""The records that travel through Pondera: label scales, media, samples, roll-outs.

A `Sample` is one line of a manifest. A `Rollout` is the light record of one completion: it is what crosses
processes (never pixels), and what `core.pool` makes dense arrays from.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

MediaRole = Literal["test", "reference", "other", "frame", "montage", "local"]
MediaKind = Literal["image", "video"]
Task = Literal["score", "compare", "degradation", "grounding", "multi"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelScale:
    """The nominal scale of a label. Higher is better: adapters turn lower-is-better labels around once.

    Args:
        low: worst possible label.
        high: best possible label, > low.

    Raises:
        ValueError: the bounds are not finite, or low >= high.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"scale must be [low, high] with low < high, got [{self.low}, {self.high}]")

    @property
    def width(self) -> float:
        """high - low."""
        return self.high - self.low

    def contains(self, value: float) -> bool:
        """Whether the value lies on the scale, bounds included (NaN does not)."""
        return self.low <= value <= self.high

    def convert(self, value: Any, to: LabelScale) -> Any:
        """Map a value or array linearly from this scale to another (bounds to bounds); no clipping."""
        return to.low + (value - self.low) * (to.width / self.width)

    def convert_std(self, std: Any, to: LabelScale) -> Any:
        """Map a standard deviation or other difference: widths only, no offset."""
        return std * (to.width / self.width)


FIVE_POINT = LabelScale(1.0, 5.0)


@dataclass(frozen=True, slots=True)
class Media:
    """One file of a sample and what it is there for."""

    path: str
    role: MediaRole = "test"


@dataclass(frozen=True, slots=True)
class Distortion:
    """A degradation that was applied on purpose.

    Args:
        type: name as in `pondera.data.distortions`.
        level: 1 (slight) to 5 (extreme).
        box: (left, top, right, bottom) as fractions of width and height in [0, 1]; None is the whole image.
    """

    type: str
    level: int
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One item to be judged: media, labels, provenance. One manifest line.

    Args:
        id: unique in its manifest.
        media: at least one file; paths are relative to the manifest.
        kind: image or video.
        dataset: the set it comes from; rank rewards compare samples of one dataset only.
        task: what is asked about it.
        mos: mean opinion score on `scale`, higher is better; None when unlabelled.
        mos_std: standard deviation of the opinions, same unit.
        scale: nominal scale of `mos`; required wherever `mos` is.
        votes: histogram of the opinions, worst category first.
        targets: further labels by name: numbers, classes, lists, boxes. `mos` is shorthand for `targets["overall"]`.
        text: the prompt of a generated image or video.
        split: for example train, val, test.
        reference: content id; samples that share it never straddle splits, and intervals are clustered by it.
        subset: named part of the dataset, reported apart.
        distortions: what was done to the content on purpose, in order.
        rationale: a reasoned completion to learn from.
        meta: anything else; never read by Pondera.
    """

    id: str
    media: tuple[Media, ...]
    kind: MediaKind = "image"
    dataset: str = "default"
    task: Task = "score"
    mos: float | None = None
    mos_std: float | None = None
    scale: LabelScale | None = None
    votes: tuple[float, ...] | None = None
    targets: Mapping[str, Any] = field(default_factory=dict)
    text: str | None = None
    split: str | None = None
    reference: str | None = None
    subset: str | None = None
    distortions: tuple[Distortion, ...] = ()
    rationale: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """The cluster this sample belongs to: its reference, or itself."""
        return self.reference if self.reference is not None else self.id

    def mos_on(self, scale: LabelScale) -> float:
        """The label on another scale; NaN when unlabelled."""
        if self.mos is None or self.scale is None:
            return math.nan
        return float(self.scale.convert(self.mos, scale))

    def path(self, role: MediaRole = "test") -> str:
        """The first file with this role.

        Raises:
            ValueError: the sample has none.
        """
        for media in self.media:
            if media.role == role:
                return media.path
        raise ValueError(f"sample {self.id!r} has no media with role {role!r}")

    @property
    def main_path(self) -> str:
        """The file that the sample is named after: the first to be tested, or the first of all."""
        return next((media.path for media in self.media if media.role == "test"), self.media[0].path)

    def to_dict(self) -> dict[str, Any]:
        """The manifest line: defaults are left out, plain types only."""
        line: dict[str, Any] = {"id": self.id}
        line["media"] = [m.path if m.role == "test" else {"path": m.path, "role": m.role} for m in self.media]
        if self.scale is not None:
            line["scale"] = [self.scale.low, self.scale.high]
        if self.distortions:
            line["distortions"] = [
                {"type": d.type, "level": d.level} | ({"box": list(d.box)} if d.box else {}) for d in self.distortions
            ]
        for name in _PLAIN_FIELDS:
            value = getattr(self, name)
            if value != _DEFAULTS[name]:
                line[name] = list(value) if isinstance(value, tuple) else value
        return line

    @classmethod
    def from_dict(cls, line: Mapping[str, Any]) -> Sample:
        """Build a sample from a manifest line.

        Raises:
            ValueError: a key is unknown or missing, or a value is wrong; the message says which and what to do.
        """
        unknown = sorted(set(line) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"unknown key {unknown[0]!r}; put free data under 'meta'")
        for key in ("id", "media"):
            if not line.get(key):
                raise ValueError(f"{key!r} is missing or empty")
        values: dict[str, Any] = {k: v for k, v in line.items() if v is not None}
        values["id"] = _typed("id", line["id"], str)
        values["media"] = _parse_media(line["media"])
        values["scale"] = _parse_scale(line.get("scale"))
        values["distortions"] = tuple(
            _parse_distortion(d) for d in _typed("distortions", values.get("distortions", []), list)
        )
        _choice("kind", values.get("kind", "image"), get_args(MediaKind))
        _choice("task", values.get("task", "score"), get_args(Task))
        for key in ("dataset", "text", "split", "reference", "subset", "rationale"):
            if key in values:
                values[key] = _typed(key, values[key], str)
        for key in ("targets", "meta"):
            if key in values:
                values[key] = _typed(key, values[key], dict)
        _take_labels(values)
        return cls(**values)


_DEFAULTS = {f.name: (f.default_factory() if callable(f.default_factory) else f.default) for f in fields(Sample)}
_PLAIN_FIELDS = [f.name for f in fields(Sample) if f.name not in {"id", "media", "scale", "distortions"}]


@dataclass(frozen=True, slots=True)
class Rollout:
    """The light record of one completion: what rewards and reports need, and all that crosses processes.

    Args:
        sample: id of its sample.
        k: index inside its group.
        text: the completion as decoded.
        values: the numbers of a valid answer, empty otherwise.
        score: mean of the values; NaN when the answer is invalid.
        num_tokens: length of the completion in tokens.
    """

    sample: str
    k: int
    text: str
    values: tuple[float, ...]
    score: float
    num_tokens: int

    @property
    def is_valid(self) -> bool:
        """Whether the answer could be read."""
        return not math.isnan(self.score)


def _typed(key: str, value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{key!r} must be a {kind.__name__}, got {value!r}")
    return value


def _choice(key: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{key!r} must be one of {', '.join(allowed)}, got {value!r}")


_LARGEST = sys.float_info.max


def _number(key: str, value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # A comparison, as no whole number is too long for it.
    if not (is_number and -_LARGEST <= value <= _LARGEST):
        raise ValueError(f"{key!r} must be a finite number, got {value!r}")
    return float(value)


def _parse_media(value: Any) -> tuple[Media, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list):
        raise ValueError(f"'media' must be a list of paths or {{path, role}}, got {value!r}")
    media = []
    for item in items:
        if isinstance(item, str):
            media.append(Media(item))
            continue
        if not isinstance(item, dict) or not isinstance(item.get("path"), str) or set(item) - {"path", "role"}:
            raise ValueError(f"a media entry is a path or {{path, role}}, got {item!r}")
        role = item.get("role", "test")
        _choice("role", role, get_args(MediaRole))
        media.append(Media(item["path"], role))
    return tuple(media)


def _parse_scale(value: Any) -> LabelScale | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"'scale' must be [low, high], got {value!r}")
    return LabelScale(_number("scale", value[0]), _number("scale", value[1]))


def _parse_distortion(value: Any) -> Distortion:
    if not isinstance(value, dict) or set(value) - {"type", "level", "box"} or not isinstance(value.get("type"), str):
        raise ValueError(f"a distortion is {{type, level, box?}}, got {value!r}")
    level = value.get("level")
    if isinstance(level, bool) or not isinstance(level, int) or not 1 <= level <= 5:
        raise ValueError(f"a distortion's level is a whole number from 1 to 5, got {level!r}")
    box = value.get("box")
    if box is None:
        return Distortion(value["type"], level)
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"a distortion's box is [left, top, right, bottom], got {box!r}")
    left, top, right, bottom = (_number("box", edge) for edge in box)
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(f"a distortion's box is in fractions of the image, left < right and top < bottom, got {box!r}")
    return Distortion(value["type"], level, (left, top, right, bottom))


def _take_labels(values: dict[str, Any]) -> None:
    """Check the labels against the scale; `targets.overall` and `mos` are one label under two names."""
    overall = values.get("targets", {}).get("overall")
    if overall is not None:
        if "mos" in values and values["mos"] != overall:
            raise ValueError(f"'mos' is {values['mos']!r} but targets.overall is {overall!r}; keep one")
        values["mos"] = overall
    if "mos" in values:
        values["mos"] = _number("mos", values["mos"])
        scale = values["scale"]
        if scale is None:
            raise ValueError("'mos' needs a 'scale': add \"scale\": [low, high]")
        if not scale.contains(values["mos"]):
            raise ValueError(
                f"mos {values['mos']} is outside its scale [{scale.low}, {scale.high}]; correct one of them"
            )
    if "mos_std" in values:
        values["mos_std"] = _number("mos_std", values["mos_std"])
        if values["mos_std"] < 0:
            raise ValueError(f"'mos_std' must be >= 0, got {values['mos_std']}")
    if "votes" in values:
        values["votes"] = tuple(_number("votes", vote) for vote in _typed("votes", values["votes"], list))
        if not any(values["votes"]) or min(values["votes"]) < 0:
            raise ValueError(f"'votes' must be 0 or more, and not all 0, got {list(values['votes'])}")


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a model says about one image or video.

    Args:
        path: the file, or "" for an image handed over in memory.
        score: on `scale`, higher is better; NaN when no valid answer was given.
        scale: the scale of the score.
        mode: reason, expected, fast or consensus.
        spread: standard deviation of the score on the same scale: over the answer's probabilities (fast, expected),
            over the samples (consensus); NaN in reason mode.
        reasoning: the think part; "" in fast mode. In consensus mode that of the sample nearest to the score.
        aspects: grade (1 bad to 5 excellent) of every aspect that the reasoning names.
        numbers: the numbers of an answer that has several, by name and on the same scale, such as global and local;
            empty for one number and in fast mode. In consensus mode those of the sample nearest to the score.
        valid: the answer had the form that was asked for.
        error: why there is no score; None when there is one.
        completion: the completion as generated; in expected mode it ends in the greedy answer, which `score` is not.
        seconds: wall time of this sample (its share of a batch).
        fingerprint: what the score depends on: model, preprocessing, prompt, mode, library versions.
    """

    path: str
    score: float
    scale: LabelScale
    mode: str
    spread: float = math.nan
    reasoning: str = ""
    aspects: Mapping[str, int] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    valid: bool = True
    error: str | None = None
    completion: str = ""
    seconds: float = math.nan
    fingerprint: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON; NaN becomes None."""
        line = {f.name: getattr(self, f.name) for f in fields(self)}
        line["scale"] = [self.scale.low, self.scale.high]
        line["aspects"] = dict(self.aspects)
        line["numbers"] = dict(self.numbers)
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in line.items()}
