"""`pondera data`: manifests and what they are made from."""

from __future__ import annotations

import json
import re
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pondera.cli.options import Plain, PlainOption, aligned, progress, shares

if TYPE_CHECKING:
    from pondera.core.records import LabelScale
    from pondera.data.synthesize import Reference

app = typer.Typer(help="Make, check and split manifests.", no_args_is_help=True)

_ONLY_JSON = (
    "title",
    "version",
    "count_from",
    "splits",
    "licence",
    "citation",
)  # too long for a row, or of no use in it
_DEFAULT_SHARES = "train=0.7,val=0.1,test=0.2"


class LabelRange(str, Enum):  # noqa: UP042 - typer shows the values of a str Enum in --help
    """Which bounds the labels of an import get."""

    nominal = "nominal"
    observed = "observed"


class DerivedTask(str, Enum):  # noqa: UP042 - typer shows the values of a str Enum in --help
    """What can be derived from known distortions."""

    degradation = "degradation"
    compare = "compare"
    grounding = "grounding"
    levels = "levels"
    multi = "multi"


ManifestArgument = Annotated[Path, typer.Argument(metavar="MANIFEST", help="JSONL, one sample a line.")]


@app.command("list", epilog="\b\nExample:\n  pondera data list")
def list_(form: PlainOption = Plain.table) -> None:
    """List the bundled photographs, the kinds of damage that `synthesize` can do, and what `import` reads."""
    from pondera.data.distortions import DISTORTIONS
    from pondera.data.photographs import PHOTOGRAPH_SPLITS, list_photographs

    photographs = [path.stem for path in list_photographs()]
    if form is Plain.json:
        document = {
            "photographs": {name: PHOTOGRAPH_SPLITS[name] for name in photographs},
            "distortions": {
                d.name: {"aspect": d.aspect, "family": d.family, "levels": d.levels, "description": d.description}
                for d in DISTORTIONS.values()
            },
            **_importable(),
        }
        typer.echo(json.dumps(document, indent=2))
        return
    splits = Counter(PHOTOGRAPH_SPLITS[name] for name in photographs)
    typer.echo(f"{len(photographs)} photographs: {', '.join(f'{n} {split}' for split, n in splits.items())}")
    typer.echo(f"{len(DISTORTIONS)} distortions, each with levels 1 (slight) to 5 (extreme):")
    typer.echo(aligned([(f"  {d.name}", d.aspect, d.description) for d in DISTORTIONS.values()]))
    for heading, entries in _importable().items():
        typer.echo(f"{len(entries)} {heading.replace('_', ' ')}, pondera data import NAME ROOT --out F:")
        rows = [
            (f"  {name}", *(_cell(value) for key, value in entry.items() if key not in _ONLY_JSON))
            for name, entry in entries.items()
        ]
        typer.echo(aligned(rows))


@app.command(
    "import",
    epilog="\b\nExample:\n  pondera data import kadid10k kadid10k/ --out data/kadid10k.jsonl\n"
    "  pondera data import csv scores.csv --scale 1 5 --columns file=name,mos=score --out data/mine.jsonl\n"
    "  pondera data import preresq-r1/pipal lists/ --media PIPAL/images --out data/pipal.jsonl",
)
def import_(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="See pondera data list; or csv, folder, deqa, huggingface.")
    ],
    root: Annotated[
        Path | None,
        typer.Argument(
            metavar="ROOT", help="The folder it was unpacked into; csv, deqa: the file. Required.", show_default=False
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Manifest to write. Required.", show_default=False)] = None,
    label_range: Annotated[
        LabelRange,
        typer.Option("--range", help="Scale: the owner's bounds, or smallest and largest label of the release."),
    ] = LabelRange.nominal,
    partial: Annotated[
        bool, typer.Option("--partial", help="Take what is there when labels or files are missing.")
    ] = False,
    check_media: Annotated[bool, typer.Option(help="Look whether every file is there.")] = True,
    media: Annotated[
        Path | None, typer.Option(help="Lists, csv, deqa: folder of the files. huggingface: where to write them.")
    ] = None,
    scale: Annotated[
        tuple[float, float] | None, typer.Option(metavar="LOW HIGH", help="csv, huggingface: bounds of the labels.")
    ] = None,
    columns: Annotated[str | None, typer.Option(help="csv, huggingface: such as file=name,mos=score.")] = None,
    lower_is_better: Annotated[
        bool, typer.Option("--lower-is-better", help="csv, huggingface: turn the labels around.")
    ] = False,
    levels: Annotated[
        str | None, typer.Option(help="csv, huggingface: numbers of labels that are words, such as bad=1,poor=2.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Name, for data of your own.", show_default="file or folder name")
    ] = None,
) -> None:
    """Make a manifest from a public data set, a published label list, or data of your own.

    Labels that fall with quality are turned around; files stay where they are.
    """
    from pondera.data.importers.run import import_samples
    from pondera.data.importers.sources import Options, open_source
    from pondera.data.manifest import write_manifest

    if root is None or out is None:
        raise _unfinished_import(name, root, out)
    numbers = _numbers(_named(levels, "--levels", "bad=1,poor=2"), "--levels")
    options = Options(media, _label_scale(scale), _named(columns), lower_is_better, numbers, dataset)
    source = open_source(name, root, options)
    imported = import_samples(
        source.samples,
        title=source.title,
        source=source.origin,
        expected_count=source.expected_count,
        count_from=source.count_from,
        label_range=label_range.value,
        partial=partial,
        check_media=check_media,
        missing_labels=source.missing_labels,
        has_bounds=source.has_bounds,
        split_counts=source.split_counts,
        label_files=source.label_files,
    )
    write_manifest(out, imported.samples)
    for warning in imported.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if imported.num_without_files:
        typer.echo(f"left out {imported.num_without_files} samples whose files are missing", err=True)
    counts = ", ".join(f"{n} {split or 'samples'}" for split, n in imported.split_counts.items())
    typer.echo(f"{out}: {counts}")


@app.command(
    epilog="\b\nExample:\n  pondera data synthesize --out data --per-reference 40\n"
    "  pondera data synthesize photos/ --out data --per-reference 20 --size 384 256"
)
def synthesize(
    out: Annotated[Path, typer.Option(help="New folder for images and manifest.jsonl.")],
    references: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="Pristine images.", show_default="the bundled photographs"),
    ] = None,
    per_reference: Annotated[int, typer.Option(min=1, help="Samples per reference.")] = 40,
    size: Annotated[tuple[int, int], typer.Option(metavar="W H", help="Size of the crops, pixels.")] = (384, 256),
    splits: Annotated[
        str | None,
        typer.Option(help="Share of the references per split.", show_default=f"{_DEFAULT_SHARES}; bundled: fixed"),
    ] = None,
    dead_leaves: Annotated[int, typer.Option(min=0, help="Procedural images added to the bundled ones, in train.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same data.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes.", show_default="one per core, at most 4")
    ] = None,
) -> None:
    """Make a labelled data set: crops damaged in known ways, graded by a full-reference metric.

    The labels are pseudo-MOS: facts about pixels, not opinions of people. An interrupted run goes on where it was.
    """
    from pondera.data.synthesize import bundled_references
    from pondera.data.synthesize import synthesize as run

    if references is None:
        if splits is not None:
            raise typer.BadParameter("the bundled photographs have fixed splits", param_hint="--splits")
        sources, split_of = bundled_references(dead_leaves)
    else:
        if dead_leaves:
            raise typer.BadParameter("goes with the bundled photographs only", param_hint="--dead-leaves")
        sources = _references_in(references)
        split_of = _split_contents(sources, splits or _DEFAULT_SHARES, seed)
    try:
        manifest = run(
            out,
            references=sources,
            num_per_reference=per_reference,
            splits=split_of,
            seed=seed,
            size=size,
            num_workers=workers,
            on_progress=progress("made"),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    typer.echo(manifest)


@app.command(epilog="\b\nExample:\n  pondera data clips --out clips")
def clips(
    out: Annotated[Path, typer.Option(help="New folder for clips and manifest.jsonl.")],
    scenes: Annotated[str, typer.Option(help="Camera moves per photograph, by split.")] = "train=4,val=3,test=3",
    versions: Annotated[int, typer.Option(min=1, help="Clips per move, each damaged in another way.")] = 12,
    frames: Annotated[int, typer.Option(min=2, help="Frames of a clip, 24 a second.")] = 48,
    size: Annotated[tuple[int, int], typer.Option(metavar="W H", help="Size of the frames, pixels, even.")] = (
        256,
        160,
    ),
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same data.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes.", show_default="one per core, at most 4")
    ] = None,
) -> None:
    """Make a labelled set of videos: a camera moves over the bundled photographs; codecs and faults of time damage it.

    The labels are pseudo-MOS: facts about pixels, not opinions of people. An interrupted run goes on where it was.
    """
    from pondera.data.moving_clips import ClipSettings, bundled_scenes, make_clips

    counts = {name: round(number) for name, number in shares(scenes, "--scenes").items()}
    if any(counts[name] != number for name, number in shares(scenes, "--scenes").items()):
        raise typer.BadParameter(f"{scenes!r}: camera moves are whole numbers", param_hint="--scenes")
    try:
        settings = ClipSettings(counts, versions=versions, num_frames=frames, size=size)
        manifest = make_clips(
            out,
            contents=bundled_scenes(),
            settings=settings,
            seed=seed,
            num_workers=workers,
            on_progress=progress("made"),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    typer.echo(manifest)


@app.command(epilog="\b\nExample:\n  pondera data check data/manifest.jsonl")
def check(
    manifest: ManifestArgument,
    decode: Annotated[bool, typer.Option(help="Decode every image, or only look whether it is there.")] = True,
    form: PlainOption = Plain.table,
) -> None:
    """Read every line and file of a manifest; exit code 1 when something is wrong."""
    from pondera.data.check import check_manifest

    report = check_manifest(manifest, decode=decode)
    typer.echo(json.dumps(report.to_dict(), indent=2) if form is Plain.json else report.to_text())
    if not report.is_ok:
        raise typer.Exit(1)


@app.command(epilog="\b\nExample:\n  pondera data split data/manifest.jsonl --out data/split.jsonl")
def split(
    manifest: ManifestArgument,
    out: Annotated[Path, typer.Option(help="Manifest to write; may be the one that is read.")],
    splits: Annotated[str, typer.Option(help="Share of the samples per split.")] = _DEFAULT_SHARES,
    seed: Annotated[int, typer.Option(min=0, help="Same seed and contents, same splits.")] = 0,
) -> None:
    """Split a manifest by content: samples that share a reference stay on one side."""
    from pondera.data.manifest import read_manifest, write_manifest
    from pondera.data.split import split_manifest

    try:
        samples = split_manifest(read_manifest(manifest), shares(splits, "--splits"), seed)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--splits") from None
    write_manifest(out, samples)
    counts = Counter(sample.split for sample in samples)
    typer.echo(f"{out}: {', '.join(f'{n} {name}' for name, n in counts.items())}")


@app.command(
    epilog="\b\nExample:\n  pondera data tasks data/manifest.jsonl --task degradation --out data/degradation.jsonl"
)
def tasks(
    manifest: ManifestArgument,
    task: Annotated[
        DerivedTask,
        typer.Option(help="What will be asked; levels: a score, ranked by level; multi: clips, in dimensions."),
    ],
    out: Annotated[Path, typer.Option(help="Manifest to write; the files stay where they are.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the pairs that are compared.")] = 0,
) -> None:
    """Derive samples of another task from a manifest whose distortions are known, such as that of synthesize."""
    from pondera.data.manifest import read_manifest, write_manifest
    from pondera.data.tasks import derive

    samples = derive(read_manifest(manifest), task.value, seed=seed)
    write_manifest(out, samples)
    counts = Counter(sample.split or "samples" for sample in samples)
    typer.echo(f"{out}: {', '.join(f'{n} {name}' for name, n in counts.items())}")


def _unfinished_import(name: str, root: Path | None, out: Path | None) -> typer.BadParameter:
    """What is missing, what it is for, where the files come from, and the whole command."""
    from pondera.data.importers.sources import where_from

    missing = []
    if root is None:
        missing.append(f"ROOT is missing: what to read. {where_from(name)}.")
    if out is None:
        missing.append(
            "--out is missing: the manifest to write, one sample a line, that evaluate, train and the others read."
        )
    example = f"pondera data import {name} {root or 'ROOT'} --out {out or name.replace('/', '-') + '.jsonl'}"
    return typer.BadParameter(f"{' '.join(missing)} Write: {example}")


def _importable() -> dict[str, dict[str, dict[str, Any]]]:
    """What `import` reads: facts by name."""
    from pondera.data.adapters import adapter_names, get_adapter
    from pondera.data.importers.published import LISTS
    from pondera.data.importers.sources import GENERIC

    adapters = [get_adapter(name) for name in adapter_names()]
    return {
        "datasets": {
            a.name: {
                "title": a.title,
                "version": a.version,
                "layout": "verified" if a.verified else "unverified",
                "kind": a.kind,
                "count": a.expected_count,
                "count_from": a.count_from,
                "scale": [a.scale.low, a.scale.high] if a.scale else "observed",
                "splits": a.splits,
                "licence": a.licence,
                "source": a.source,
                "citation": a.citation,
            }
            for a in adapters
        },
        "published_lists": {
            p.name: {
                "kind": p.kind,
                "count": p.expected_count,
                "scale": [p.scale.low, p.scale.high],
                "source": p.source,
            }
            for p in LISTS
        },
        "formats": {name: {"description": description} for name, description in GENERIC.items()},
    }


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return "..".join(f"{bound:g}" for bound in value)
    return f"{value:,}" if isinstance(value, int) else "-" if value is None else str(value)


def _label_scale(bounds: tuple[float, float] | None) -> LabelScale | None:
    from pondera.core.records import LabelScale

    try:
        return None if bounds is None else LabelScale(*bounds)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--scale") from None


def _named(text: str | None, option: str = "--columns", example: str = "file=name,mos=score") -> dict[str, str]:
    """Read `file=name,mos=score`."""
    found: dict[str, str] = {}
    for part in text.split(",") if text else []:
        field, sign, column = (piece.strip() for piece in part.partition("="))
        if not (field and sign and column):
            raise typer.BadParameter(f"{part!r} is no pair; write {example}", param_hint=option)
        if field in found:
            raise typer.BadParameter(f"{field!r} is there twice", param_hint=option)
        found[field] = column
    return found


def _numbers(named: dict[str, str], option: str) -> dict[str, float]:
    """Read `bad=1,poor=2`."""
    try:
        return {name: float(number) for name, number in named.items()}
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _references_in(folder: Path) -> list[Reference]:
    """One reference per image; the name of the file becomes the content id."""
    from pondera.data.images import list_media
    from pondera.data.synthesize import Reference

    files = [path for path in list_media([folder]) if path.is_file()]
    if not files:
        raise typer.BadParameter(f"{folder} is no folder with images", param_hint="FOLDER")
    names = [re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("._-") or "image" for path in files]
    seen: Counter[str] = Counter()
    found = []
    for name, path in zip(names, files, strict=True):
        seen[name] += 1
        unique = name if names.count(name) == 1 else f"{name}.{seen[name]}"
        found.append(Reference(unique, path))
    return found


def _split_contents(references: list[Reference], text: str, seed: int) -> dict[str, str]:
    from pondera.core.records import Media, Sample
    from pondera.data.split import split_manifest

    samples = [Sample(id=reference.content, media=(Media(str(reference.source)),)) for reference in references]
    try:
        placed = split_manifest(samples, shares(text, "--splits"), seed)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--splits") from None
    return {sample.id: sample.split or "" for sample in placed}
