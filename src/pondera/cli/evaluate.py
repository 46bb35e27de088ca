"""`pondera evaluate`: how good are models on labelled samples?"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pondera.cli.metrics import as_table
from pondera.cli.options import (
    DeviceOption,
    Mode,
    ModeOption,
    SampleSeedOption,
    SamplesOption,
    model_for,
    progress,
    quiet_loading,
    require,
    sampling,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pondera.core.records import MediaKind
    from pondera.evaluate import Evaluation
    from pondera.evaluate.percentiles import ReferenceSet
    from pondera.evaluate.protocols import Protocol
    from pondera.evaluate.shards import Shard
    from pondera.evaluate.task import Task


def evaluate(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for predictions.parquet, metrics.json, report.html and tables.")],
    manifests: Annotated[
        list[Path] | None, typer.Argument(metavar="[MANIFEST]...", help="JSONL, one sample a line.", show_default=False)
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="nano, nano-video, a folder with weights, or a hub id; may be repeated.",
            show_default="nano for images, nano-video for videos",
        ),
    ] = None,
    mode: ModeOption = Mode.reason,
    samples: SamplesOption = None,
    seed: SampleSeedOption = None,
    split: Annotated[str | None, typer.Option(help="Only samples of this split.", show_default="all")] = None,
    question: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What models are asked about: quality, aesthetics, alignment, or own (what the model's card says).",
            show_default="what the labels rate",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Number in the samples' targets that is the label, such as alignment of agiqa3k.",
            show_default="mos",
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Sets, splits and published results: preresq-images, kadid-trained, koniq-trained, "
            "koniq-trained-deqa, biq2021, lsvq-trained, or a YAML file.",
            show_default="none",
        ),
    ] = None,
    train_manifest: Annotated[
        list[Path] | None, typer.Option(help="What the models were trained on, to find leaks.", show_default=False)
    ] = None,
    allow_leakage: Annotated[
        bool, typer.Option("--allow-leakage", help="Go on with training content in the test.")
    ] = False,
    baselines: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,...",
            help="Also evaluate: all, or mean, subset, size, brisque (fitted on split train), niqe, measuring, "
            "pyiqa:METRIC.",
            show_default="none",
        ),
    ] = None,
    pristine: Annotated[
        list[Path] | None,
        typer.Option(
            help="Pictures or folders that NIQE is fitted on.", show_default="the bundled photographs' training part"
        ),
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="Earlier evaluation to show.", show_default=False),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What the others are tested against: a model, one of --baselines, or the name of one in --beside.",
            show_default="the first model",
        ),
    ] = None,
    reference_set: Annotated[
        Path | None,
        typer.Option(
            help="Earlier evaluation by the same model: scores get percentiles, in predictions.parquet too.",
            show_default=False,
        ),
    ] = None,
    shard: Annotated[str | None, typer.Option(help="Score part I/N only, such as 2/8.", show_default="all")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Put finished shards together; scores nothing.")] = False,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of recorded assessments.", show_default="OUT/assessments")
    ] = None,
    device: DeviceOption = None,
) -> None:
    """Score the samples of manifests and measure: SRCC, PLCC, KRCC, RMSE with 95 % intervals, and a report.

    Intervals are clustered by content. Answers that cannot be read are counted, never replaced. What was scored is
    recorded at once and never scored again: after an interruption go on with the same command. Under torchrun each
    process scores its part. Without a manifest, the evaluations given with --beside are compared.
    """
    require("report", "pyarrow", "jinja2")
    options = sampling(mode, samples, seed)
    simple = _baseline_names(baselines or [], pristine or [])
    part = _shard(shard, merge)
    if not manifests:
        _refuse_unread(ctx)
        _only_compare(out, beside or [], protocol, baseline)
        return
    earlier = _earlier(beside or [])
    task = _task(manifests, split, protocol, train_manifest or [], question=question, target=target)
    _check_labels(beside or [], earlier, task)
    kind = _kind(task)
    store = cache or out / "assessments"

    from pondera.evaluate import suite
    from pondera.evaluate.candidates import load_candidate
    from pondera.evaluate.named_baselines import check_baselines
    from pondera.evaluate.percentiles import check_maker, load_reference_set, with_percentiles
    from pondera.evaluate.shards import wait_for_all

    names = list(dict.fromkeys(models or [model_for(kind, None)]))
    tested_against = _place(baseline, earlier, simple, [(name, mode.value) for name in names])
    reference = load_reference_set(reference_set) if reference_set else None
    check_baselines(task, simple, pristine=pristine or [], allow_leakage=allow_leakage)
    if not merge:
        quiet_loading()
        suite.record_models(
            task,
            names,
            lambda name: load_candidate(name, mode.value, device=device or _own_device(), kind=kind, **options),
            out=out,
            cache=store,
            shard=part,
            allow_leakage=allow_leakage,
            reference=reference,
            on_progress=progress("evaluated"),
        )
        wait_for_all(part)
    if shard is not None:
        typer.echo(f"shard {part} is done; when all are: the same command with --merge instead of --shard")
        return
    if part.index > 1:  # under torchrun the first process measures for all
        return
    found = suite.measure_models(task, names, out=out, cache=store, count=None if merge else part.count)
    if reference is not None:
        check_maker(reference, {row["fingerprint"] for e in found for row in e.rows})
        found = [with_percentiles(e, reference) for e in found]
        for name, evaluation in zip(names, found, strict=True):
            evaluation.save(suite.folder_of(out, names, name))
    beside_them = _baselines(task, simple, out, pristine or [], device)
    folders = [None] * len(earlier) + _folders(out, simple, names)
    everybody = [*earlier, *beside_them, *found]
    _write(out, everybody, _title(found, task), task.protocol, reference, tested_against, folders)
    _name_older(out, [*(beside or []), *(folder for folder in folders if folder is not None)])


def _name_older(out: Path, current: Sequence[Path]) -> None:
    """Say which evaluations of earlier runs lie in the same folder: the report does not have them."""
    here = {folder.resolve() for folder in current}
    places = (path.parent for folder in ("", "*/", "baselines/*/") for path in out.glob(f"{folder}metrics.json"))
    older = sorted(str(place) for place in places if place.resolve() not in here)
    if older:
        typer.echo(
            f"of earlier runs, and not in the report: {', '.join(older)}; remove them, or show them with --beside",
            err=True,
        )


def _shard(text: str | None, merge: bool) -> Shard:
    from pondera.evaluate.shards import Shard

    if text is not None and merge:
        raise typer.BadParameter("score a shard or merge them all, not both", param_hint="--shard, --merge")
    return Shard.parse(text) if text is not None else Shard.of_this_process()


def _earlier(folders: list[Path]) -> list[Evaluation]:
    from pondera.evaluate import load_evaluation

    return [load_evaluation(folder) for folder in folders]


def _refuse_unread(ctx: typer.Context) -> None:
    """Nothing is accepted and ignored: what only a manifest has a use for."""
    others = [p for p in ctx.command.params if p.name not in ("manifests", "out", "beside", "baseline", "protocol")]
    source_of = {p.opts[-1]: ctx.get_parameter_source(str(p.name)) for p in others}
    given = [option for option, source in source_of.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        raise typer.BadParameter("does nothing without a manifest; leave it out", param_hint=", ".join(given))


def _only_compare(out: Path, folders: list[Path], protocol: str | None, baseline: str | None) -> None:
    from pondera.evaluate.document import under_protocol
    from pondera.evaluate.protocols import load_protocol

    if len(folders) < 2:
        raise typer.BadParameter("give a manifest, or two evaluations with --beside", param_hint="MANIFEST")
    earlier = _earlier(folders)
    _check_labels(folders, earlier)
    tested_against = _place(baseline, earlier)
    chosen = load_protocol(protocol) if protocol else None
    if chosen is not None:
        earlier = [under_protocol(e, chosen, folder) for folder, e in zip(folders, earlier, strict=True)]
    title = "Comparison of " + ", ".join(e.name for e in earlier)
    _write(out, earlier, title, chosen, None, tested_against)


def _check_labels(folders: list[Path], earlier: list[Evaluation], task: Task | None = None) -> None:
    """Refuse other labels in one table, before the work starts."""
    from pondera.evaluate.run import check_same_labels, labels_of

    mine = {(s.dataset, s.id): math.nan if s.mos is None else s.mos for s in task.samples} if task else {}
    named = [(f"--beside {folder}", labels_of(e)) for folder, e in zip(folders, earlier, strict=True)]
    check_same_labels([*named, ("the manifests", mine)])


def _place(
    baseline: str | None,
    earlier: list[Evaluation],
    simple: Sequence[str] = (),
    models: Sequence[tuple[str, str]] = (),
) -> int | None:
    """Which of the systems the others are tested against: by its own name, or by that on the page.

    Args:
        baseline: name of one of them.
        earlier: those of earlier runs.
        simple: those of --baselines.
        models: name and mode of each.
    """
    from pondera.evaluate.document import distinct_names
    from pondera.evaluate.named_baselines import baseline_title

    if baseline is None:
        return None
    systems = [
        *((e.name, str(e.protocol.get("mode", ""))) for e in earlier),
        *((baseline_title(name), "baseline") for name in simple),
        *models,
    ]
    shown = distinct_names(systems)
    own = [*(e.name for e in earlier), *simple, *(name for name, _ in models)]
    for names in (shown, own):
        if baseline in names:
            return names.index(baseline)
    raise typer.BadParameter(
        f"{baseline!r} is not evaluated here; there are {', '.join(map(repr, shown)) or 'no systems'}",
        param_hint="--baseline",
    )


def _task(
    manifests: list[Path], split: str | None, protocol: str | None, train: list[Path], **asking: str | None
) -> Task:
    from pondera.evaluate.protocols import load_protocol
    from pondera.evaluate.task import choose_samples

    try:
        return choose_samples(
            manifests,
            split=split,
            protocol=load_protocol(protocol) if protocol else None,
            train_manifests=train,
            **asking,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="MANIFEST") from None


def _kind(task: Task) -> MediaKind:
    """Image or video: one model judges one of them."""
    kinds = {sample.kind for sample in task.samples}
    if len(kinds) > 1:
        raise typer.BadParameter("images and videos are evaluated apart; split the manifest", param_hint="MANIFEST")
    return kinds.pop()


def _own_device() -> str | None:
    """Under torchrun each process of a machine takes the accelerator of its number."""
    import torch

    rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{rank}" if rank is not None and torch.cuda.is_available() else None


def _baseline_names(texts: list[str], pristine: list[Path]) -> list[str]:
    from pondera.evaluate.named_baselines import PYIQA, baseline_names
    from pondera.evaluate.pyiqa_metrics import require_pyiqa

    names = baseline_names(texts)
    if pristine and "niqe" not in names:
        raise typer.BadParameter(
            "only NIQE learns from pristine pictures: add --baselines niqe", param_hint="--pristine"
        )
    if any(name.startswith(PYIQA) for name in names):
        require_pyiqa()  # before the work starts, not after hours of it
    return names


def _baselines(task: Task, names: list[str], out: Path, pristine: list[Path], device: str | None) -> list[Evaluation]:
    from pondera.evaluate.named_baselines import evaluate_baselines

    return evaluate_baselines(task, names, out=out, pristine=pristine, device=device, on_progress=progress("baselines"))


def _folders(out: Path, baselines: list[str], models: list[str]) -> list[Path | None]:
    """Where this run saves each system."""
    from pondera.evaluate.named_baselines import baseline_folder
    from pondera.evaluate.suite import folder_of

    return [*(baseline_folder(out, name) for name in baselines), *(folder_of(out, models, name) for name in models)]


def _title(found: list[Evaluation], task: Task) -> str:
    what = f"protocol {task.protocol.name}" if task.protocol else f"split {task.facts['split']}"
    return f"{', '.join(e.name for e in found)} on {'all samples' if what == 'split all' else what}"


def _write(
    out: Path,
    evaluations: list[Evaluation],
    title: str,
    protocol: Protocol | None,
    reference: ReferenceSet | None,
    baseline: int | None,
    folders: Sequence[Path | None] = (),
) -> None:
    from pondera.evaluate.document import with_distinct_names, write_documents

    report = write_documents(
        out, evaluations, title=title, protocol=protocol, reference=reference, baseline=baseline, folders=folders
    )
    for e in with_distinct_names(evaluations):
        if len(evaluations) > 1:
            typer.echo(f"\n{e.name}")
        typer.echo(as_table(e.metrics))
        for line in _failures(e):
            typer.echo(line)
    typer.echo(f"report: {report}")


def _failures(evaluation: Evaluation) -> list[str]:
    """Why samples have no score, the first three of them: a missing file is not the model's bad answer."""
    reasons = [f"{row['sample']}: {row['error']}" for row in evaluation.rows if row["error"]]
    more = [f"and {len(reasons) - 3} more, in the column `error` of predictions.parquet"] if len(reasons) > 3 else []
    return [f"not scored: {reason}" for reason in reasons[:3] + more]
