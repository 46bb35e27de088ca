"""Training curves from a run's metrics.jsonl."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from pondera.errors import DatasetError

SHOWN = ("loss", "reward", "kl", "valid", "val_srcc", "val_plcc", "srcc", "plcc")


def read_curves(path: str | Path, names: Sequence[str] = SHOWN) -> dict[str, list[dict[str, float]]]:
    """Read the series that were logged, by "stage/name", each a list of {step, value} in the order of the steps.

    Args:
        path: lines {stage?, step, name: number, ...}.
        names: which values to keep; those that were never logged are left out.

    Raises:
        DatasetError: the file is missing, or a line is not an object with a step.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; a training run writes it")
    curves: dict[str, list[dict[str, float]]] = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, text in enumerate(lines, start=1):
        try:
            line = json.loads(text)
            step = float(line["step"])
        except (json.JSONDecodeError, KeyError, TypeError, ValueError):
            if number == len(lines):  # the last line of a run that was killed
                break
            raise DatasetError(f"{path}:{number}: not a JSON object with a step: {text[:80]!r}") from None
        for name in names:
            value = line.get(name)
            if isinstance(value, (int, float)) and math.isfinite(value):
                key = f"{line['stage']}/{name}" if line.get("stage") else name
                curves.setdefault(key, []).append({"step": step, "value": float(value)})
    return {key: sorted(points, key=lambda point: point["step"]) for key, points in curves.items()}
