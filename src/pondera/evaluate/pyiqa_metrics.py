"""Metrics of pyiqa as baselines, for those who have it. Its licence is non-commercial, so it is never a dependency."""

from __future__ import annotations

import difflib
import math
from importlib import import_module
from typing import Any

import numpy as np

from pondera.core.records import Assessment, LabelScale, Sample
from pondera.data.images import load_image
from pondera.errors import ConfigError, MediaError
from pondera.evaluate.baselines import Baseline

_OF_SETS = ("fid", "inception_score")  # they measure a set of images, not one
_NO_RANGE = LabelScale(0.0, 100.0)  # stands in where pyiqa states no range; correlations do not depend on it


def pyiqa_metric(name: str, *, device: str | None = None) -> Baseline:
    """A metric of pyiqa, turned around where lower is better. Its stated range is laid on the scale of the labels, so
    that no correlation and no fitted RMSE changes.

    Pixels come from `load_image`, so that orientation and colour are those that every other system sees. A metric with
    full reference reads the file with the role `reference`.

    Args:
        name: as `pyiqa.list_models()` has it.
        device: where it runs; pyiqa's choice where not given.

    Raises:
        ConfigError: pyiqa is not installed, has no such metric, or the metric measures sets.

    Source: the interface of pyiqa 0.1 (`create_metric`, `list_models`, `lower_better`, `metric_mode`, `score_range`),
        github.com/chaofengc/IQA-PyTorch.
    """
    pyiqa = check_metric(name)
    metric = pyiqa.create_metric(name, **({"device": _device(device)} if device else {}))
    stated = getattr(metric, "score_range", None)
    scale = _scale(stated)
    facts = {
        "pyiqa": getattr(pyiqa, "__version__", "unknown"),
        "score_range": stated or "not stated",
        "lower_better": bool(metric.lower_better),
    }
    fingerprint = f"pyiqa:{name}:{facts['pyiqa']}"

    def answer(sample: Sample) -> Assessment:
        value, error = math.nan, None
        try:
            value = _value(metric, sample)
            error = None if math.isfinite(value) else f"pyiqa's {name} returned {value}"
        except (MediaError, ValueError, RuntimeError, AssertionError) as reason:  # of one image; it is counted
            error = str(reason) or type(reason).__name__
        score = scale.low + scale.high - value if metric.lower_better else value
        return Assessment(
            sample.path(), score, scale, "baseline", valid=error is None, error=error, fingerprint=fingerprint
        )

    return Baseline(f"pyiqa {name}", lambda samples: [answer(sample) for sample in samples], facts)


def check_metric(name: str) -> Any:
    """The module pyiqa, if it has a metric of this name that scores single images. Loads no weights.

    Raises:
        ConfigError: as in `pyiqa_metric`.
    """
    pyiqa = require_pyiqa()
    known = pyiqa.list_models()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        hint = (
            f"did you mean {' or '.join(near)}?"
            if near
            else "see: python -c 'import pyiqa; print(pyiqa.list_models())'"
        )
        raise ConfigError(f"pyiqa has no metric {name!r}; {hint}")
    if name.startswith(_OF_SETS):
        raise ConfigError(f"pyiqa's {name} measures a set of images and gives none of them a score; choose another")
    return pyiqa


def require_pyiqa() -> Any:
    """The module pyiqa.

    Raises:
        ConfigError: it is not installed; says how to, and why Pondera does not bring it.
    """
    try:
        return import_module("pyiqa")
    except ImportError as error:
        raise ConfigError(
            f"baselines pyiqa:... need pyiqa ({error}). Pondera does not bring it, because its licence is "
            "non-commercial; if that suits you: pip install pyiqa"
        ) from None


def _device(name: str) -> Any:
    import torch

    return torch.device(name)


def _value(metric: Any, sample: Sample) -> float:
    if metric.metric_mode == "FR":
        return float(metric(_tensor(sample.path()), _tensor(sample.path("reference"))))
    return float(metric(_tensor(sample.path())))


def _tensor(path: str) -> Any:
    """[1, 3, H, W] in [0, 1], as pyiqa wants it."""
    import torch

    image_HWC = load_image(path)
    return torch.from_numpy(np.moveaxis(image_HWC, 2, 0)[None].astype(np.float32) / 255)


def _scale(stated: str | None) -> LabelScale:
    """From "0, 1" or "~0, ~100"; a bound may be missing ("0, ~")."""
    try:
        low, high = (float(part.replace("~", "")) for part in (stated or "").split(","))
    except ValueError:
        return _NO_RANGE
    return LabelScale(low, high) if low < high else _NO_RANGE
