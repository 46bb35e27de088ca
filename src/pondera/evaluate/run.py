"""An evaluation run: assess every sample, keep every row, measure, write; and compare two runs on the same samples."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pondera._version import __version__
from pondera.core.metrics import compare_groups, jsonable, summarise_groups
from pondera.core.records import Assessment, Sample
from pondera.errors import DatasetError
from pondera.evaluate.assessing import BATCH_SIZE, Assess, Progress, assess_samples, recall_samples, record_samples
from pondera.evaluate.diagnosis import diagnose, within_subsets
from pondera.evaluate.predictions import Row, prediction_row, read_predictions, write_predictions
from pondera.evaluate.store import AssessmentStore

_FURTHER = ("views", "worst_case", "within_subsets", "diagnosis")  # files of earlier versions have none

Views = Mapping[str, tuple[str, str]]  # by name: dataset and split
Labels = Mapping[tuple[str, str], float]  # by dataset and sample; NaN where there is none


@dataclass(frozen=True)
class Evaluation:
    """What a system said about a set of samples, and how good that is.

    Args:
        name: of the system.
        rows: the predictions table, see `predictions.prediction_row`.
        metrics: `overall`, `datasets`, `subsets` and more, see `measure`.
        protocol: how it was made: everything another person needs to repeat the number, and no date.
    """

    name: str
    rows: list[Row] = field(repr=False)
    metrics: dict[str, Any]
    protocol: dict[str, Any]

    def save(self, folder: str | Path) -> None:
        """Write predictions.parquet and metrics.json into a folder, which is made where missing."""
        folder = Path(folder)
        write_predictions(folder / "predictions.parquet", self.rows)
        self.save_metrics(folder)

    def save_metrics(self, folder: str | Path, **more: Any) -> None:
        """Write metrics.json alone into a folder that is there.

        Args:
            folder: where predictions.parquet stands.
            more: what only the run that it is a part of knows, such as comparisons; not read back.
        """
        folder = Path(folder)
        document = {"name": self.name, "protocol": self.protocol, **self.metrics, **more}
        partial = folder / "metrics.json.partial"
        partial.write_text(json.dumps(jsonable(document), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(folder / "metrics.json")


def evaluate(
    samples: Sequence[Sample],
    assess: Assess,
    *,
    name: str,
    whole_samples: bool = False,
    batch_size: int = BATCH_SIZE,
    protocol: Mapping[str, Any] | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
    store: AssessmentStore | None = None,
    on_progress: Progress | None = None,
) -> Evaluation:
    """Assess every sample and measure the scores.

    Args:
        samples: with media paths as `data.manifest.read_manifest` gives them; unlabelled ones are kept in the table
            and left out of the metrics.
        assess: from a list of inputs to one assessment each, in order. Inputs are file paths, so that an assessor
            fits as it is.
        name: of the system.
        whole_samples: hand over the samples themselves, for systems that also read the reference or the text.
        batch_size: inputs per call.
        protocol: further facts to keep with the numbers (manifest, model, prompt, ...).
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
        store: of this system: what stands in it is not assessed again, what is new is recorded batch by batch.
        on_progress: called with (done, total) after every batch.

    Raises:
        ValueError: there are no samples, two share dataset and id, or `assess` returned another number of assessments.
    """
    check_samples(samples)
    asking: dict[str, Any] = {"whole_samples": whole_samples, "batch_size": batch_size, "on_progress": on_progress}
    if store is None:
        assessments = assess_samples(samples, assess, **asking)
    else:
        record_samples(samples, assess, store, **asking)
        assessments = recall_samples(samples, store, whole_samples=whole_samples)
    return evaluation_of(samples, assessments, name=name, protocol=protocol, num_resamples=num_resamples, seed=seed)


def evaluation_of(
    samples: Sequence[Sample],
    assessments: Sequence[Assessment],
    *,
    name: str,
    protocol: Mapping[str, Any] | None = None,
    views: Views | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """The measuring half of `evaluate`: from one assessment per sample, in order; arguments as there, and `measure`."""
    rows = [prediction_row(sample, assessment) for sample, assessment in zip(samples, assessments, strict=True)]
    metrics = measure(rows, views=views, num_resamples=num_resamples, seed=seed)
    facts = {**_facts(rows), "num_resamples": num_resamples, "seed": seed, "pondera": __version__, **(protocol or {})}
    return Evaluation(name, rows, metrics, facts)


def check_samples(samples: Sequence[Sample]) -> None:
    """Refuse what cannot be evaluated.

    Raises:
        ValueError: there are no samples, or two share dataset and id.
    """
    if not samples:
        raise ValueError("nothing to evaluate: the list of samples is empty")
    (name, count), *_ = Counter((sample.dataset, sample.id) for sample in samples).most_common(1)
    if count > 1:
        raise ValueError(
            f"sample ids must be unique in their dataset; {name[1]!r} of dataset {name[0]!r} stands {count} times"
        )


def measure(
    rows: Sequence[Row], *, views: Views | None = None, num_resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """The metrics of a predictions table; intervals are clustered by content.

    Args:
        rows: of the table.
        views: splits of a dataset to measure by themselves as well; those without a row are left out.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        `overall`, `datasets`, `subsets`, and `views` where they are asked for: rows without a valid answer are left
        out, and counted. `worst_case` holds the same where such a row has the lowest score of its scale: the price of
        not answering.
        `within_subsets` and `diagnosis`: see `diagnosis.within_subsets` and `diagnosis.diagnose`.
    """
    score = [row["score"] if row["valid"] else math.nan for row in rows]
    dropped = _summaries(rows, score, views, num_resamples, seed)
    if all(row["valid"] for row in rows):
        worst = dropped
    else:
        low = [row["score"] if row["valid"] else row["scale_low"] for row in rows]
        worst = _summaries(rows, low, views, num_resamples, seed)
    return {
        **dropped,
        "worst_case": worst,
        "within_subsets": within_subsets(dropped),
        "diagnosis": diagnose(rows, num_resamples=num_resamples, seed=seed),
    }


def _summaries(
    rows: Sequence[Row], score: Sequence[float], views: Views | None, num_resamples: int, seed: int
) -> dict[str, Any]:
    groups = _groups(rows, score, num_resamples, seed)
    if views:
        groups["views"] = {}
        for name, place in views.items():
            numbers = [n for n, row in enumerate(rows) if (row["dataset"], row["split"]) == place]
            if numbers:
                part = _groups([rows[n] for n in numbers], [score[n] for n in numbers], num_resamples, seed)
                groups["views"][name] = part["datasets"][place[0]]
    return groups


def _groups(rows: Sequence[Row], score: Sequence[float], num_resamples: int, seed: int) -> dict[str, Any]:
    return summarise_groups(
        score,
        [row["mos"] for row in rows],
        dataset=[row["dataset"] for row in rows],
        subset=[row["subset"] for row in rows],
        mos_std=[row["mos_std"] for row in rows],
        cluster=[row["reference"] for row in rows],
        num_resamples=num_resamples,
        seed=seed,
    )


def load_evaluation(folder: str | Path) -> Evaluation:
    """Read what `Evaluation.save` wrote.

    Raises:
        DatasetError: a file is missing or damaged.
    """
    folder = Path(folder)
    path = folder / "metrics.json"
    if not path.is_file():
        raise DatasetError(f"{path}: no such file. Make one with: pondera evaluate MANIFEST --model M --out {folder}")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        parts = (document, *(document[key] for key in ("overall", "datasets", "subsets", "protocol")))
        if any(not isinstance(part, dict) for part in parts):
            raise TypeError("a part of it is no object")
        if "srcc" not in document["overall"]:
            raise KeyError("srcc")
        metrics = {key: _revive(document[key]) for key in ("overall", "datasets", "subsets")}
        metrics |= {key: _revive(document[key]) for key in _FURTHER if key in document}
        name, protocol = document["name"], document["protocol"]
    except (ValueError, KeyError, TypeError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DatasetError(f"{path}: not the metrics of an evaluation ({why}); run the evaluation again") from None
    return Evaluation(name, read_predictions(folder / "predictions.parquet"), metrics, protocol)


def compare_systems(
    baseline: Evaluation, other: Evaluation, *, num_resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Whether one system beats another on the samples both have seen: other minus baseline, paired.

    Returns:
        `baseline`, `other` (names), `n`, `n_dropped` (labelled samples that one of them could not score),
        `n_unshared` (samples that only one has seen), and `srcc`, `plcc` as `{first, second, difference, ci, p}`
        with intervals clustered by content, overall and in `datasets`; see `core.metrics.compare_groups`.

    Raises:
        DatasetError: they disagree about a label, see `check_same_labels`.
        ValueError: the two share no sample.
    """
    check_same_labels([(baseline.name, labels_of(baseline)), (other.name, labels_of(other))])
    row_of = {(row["dataset"], row["sample"]): row for row in baseline.rows}
    named = [((row["dataset"], row["sample"]), row) for row in other.rows]
    pairs = [(row_of[key], row) for key, row in named if key in row_of]
    if not pairs:
        raise ValueError(f"{baseline.name} and {other.name} share no sample; evaluate both on one manifest")
    result = compare_groups(
        [one["score"] for one, _ in pairs],
        [two["score"] for _, two in pairs],
        [two["mos"] for _, two in pairs],
        dataset=[two["dataset"] for _, two in pairs],
        cluster=[two["reference"] for _, two in pairs],
        num_resamples=num_resamples,
        seed=seed,
    )
    num_unshared = len(baseline.rows) + len(other.rows) - 2 * len(pairs)
    return {"baseline": baseline.name, "other": other.name, "n_unshared": num_unshared, **result}


def labels_of(evaluation: Evaluation) -> Labels:
    """What the samples of an evaluation were measured against."""
    return {(row["dataset"], row["sample"]): row["mos"] for row in evaluation.rows}


def check_same_labels(systems: Sequence[tuple[str, Labels]]) -> None:
    """Refuse to compare systems that were measured against different labels.

    Args:
        systems: what to call each in the message, and its labels.

    Raises:
        DatasetError: two have different labels for one sample; names it, both labels, and the way out.
    """
    seen: dict[tuple[str, str], tuple[str, float]] = {}
    for name, labels in systems:
        for key, label in labels.items():
            first, other = seen.setdefault(key, (name, label))
            if label != other and not (math.isnan(label) and math.isnan(other)):
                raise DatasetError(
                    f"sample {key[1]!r} of dataset {key[0]!r} has label {other:g} in {first} and {label:g} in {name}: "
                    "measured against different labels they cannot be compared. Evaluate both on one manifest, or "
                    "leave one out"
                )


def _facts(rows: Sequence[Row]) -> dict[str, Any]:
    num_invalid = sum(not row["valid"] for row in rows)
    return {
        "mode": _one_or_all({row["mode"] for row in rows}),
        "fingerprint": _one_or_all({row["fingerprint"] for row in rows if row["error"] is None}),
        "n": len(rows),
        "n_invalid": num_invalid,
        "invalid_rate": num_invalid / len(rows),
        "num_contents": len({(row["dataset"], row["reference"]) for row in rows}),
        "intervals": "95 % bootstrap, contents drawn whole; KRCC analytic; fits held fixed",
    }


def _one_or_all(values: set[str]) -> str | list[str]:
    return next(iter(values)) if len(values) == 1 else sorted(values)


def _revive(value: Any) -> Any:
    """None back to NaN, in numbers and intervals."""
    if isinstance(value, dict):
        return {key: _revive(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_revive(item) for item in value]
    return math.nan if value is None else value
