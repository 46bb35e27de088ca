"""`pondera evaluate`: how good is a model on labelled samples?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pondera.cli.metrics import as_table
from pondera.cli.options import (
    DeviceOption,
    Mode,
    ModelOption,
    ModeOption,
    SampleSeedOption,
    SamplesOption,
    progress,
    quiet_loading,
    require,
    sampling,
)

if TYPE_CHECKING:
    from pondera.core.records import Sample
    from pondera.evaluate import Evaluation


def evaluate(
    manifests: Annotated[list[Path], typer.Argument(metavar="MANIFEST", help="JSONL, one sample a line.")],
    out: Annotated[Path, typer.Option(help="Folder for predictions.parquet, metrics.json and report.html.")],
    model: ModelOption = "nano",
    mode: ModeOption = Mode.reason,
    samples: SamplesOption = None,
    seed: SampleSeedOption = None,
    split: Annotated[str | None, typer.Option(help="Only samples of this split.", show_default="all")] = None,
    device: DeviceOption = None,
) -> None:
    """Score the samples of manifests and measure: SRCC, PLCC, KRCC, RMSE with 95 % intervals, and a report.

    Intervals are clustered by content. Answers that cannot be read are counted, never replaced.
    """
    options = sampling(mode, samples, seed)
    require("report", "pyarrow", "jinja2")
    chosen = _samples(manifests, split)

    from pondera.assess import load  # loads torch
    from pondera.evaluate import evaluate as run

    quiet_loading()
    assessor = load(model, device=device)
    protocol = {
        "model": model,
        "manifests": [str(path) for path in manifests],
        "split": split or "all",
        "trained_on": list(assessor.card.trained_on),
        **options,
        **assessor.protocol(mode.value),
    }
    try:
        evaluation = run(
            chosen,
            lambda batch: assessor(list(batch), mode.value, **options),
            name=model,
            protocol=protocol,
            on_progress=progress("evaluated"),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="MANIFEST") from None
    evaluation.save(out)
    _report(evaluation, out, split)
    typer.echo(as_table(evaluation.metrics))
    typer.echo(f"report: {out / 'report.html'}")


def _samples(manifests: list[Path], split: str | None) -> list[Sample]:
    from pondera.data.manifest import read_manifest

    chosen = [sample for path in manifests for sample in read_manifest(path, split=split)]
    if not chosen:
        where = f"has split {split!r}" if split else "is there"
        raise typer.BadParameter(
            f"no sample {where} in {', '.join(map(str, manifests))}", param_hint="--split" if split else "MANIFEST"
        )
    return chosen


def _report(evaluation: Evaluation, out: Path, split: str | None) -> None:
    from pondera.core.aspects import worst_aspect
    from pondera.data.distortions import DISTORTIONS
    from pondera.evaluate import aspect_truthfulness, write_report

    truthfulness: dict[str, Any] = {}
    if any(row["reasoning"] and row["distortions"] for row in evaluation.rows):
        aspect_of = {name: kind.aspect for name, kind in DISTORTIONS.items()}
        truthfulness[evaluation.name] = aspect_truthfulness(evaluation.rows, aspect_of, worst_aspect)
    what = f"split {split}" if split else "all samples"
    write_report(out / "report.html", [evaluation], title=f"{evaluation.name} on {what}", truthfulness=truthfulness)
