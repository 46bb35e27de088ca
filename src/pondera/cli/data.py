"""`pondera data`: manifests and what they are made from."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pondera.cli.options import Plain, PlainOption, aligned, progress, shares

if TYPE_CHECKING:
    from pondera.data.synthesize import Reference

app = typer.Typer(help="Make, check and split manifests.", no_args_is_help=True)

_DEFAULT_SHARES = "train=0.7,val=0.1,test=0.2"

ManifestArgument = Annotated[Path, typer.Argument(metavar="MANIFEST", help="JSONL, one sample a line.")]


@app.command("list", epilog="\b\nExample:\n  pondera data list")
def list_(form: PlainOption = Plain.table) -> None:
    """List the bundled photographs and the kinds of damage that `synthesize` can do."""
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
        }
        typer.echo(json.dumps(document, indent=2))
        return
    splits = Counter(PHOTOGRAPH_SPLITS[name] for name in photographs)
    typer.echo(f"{len(photographs)} photographs: {', '.join(f'{n} {split}' for split, n in splits.items())}")
    typer.echo(f"{len(DISTORTIONS)} distortions, each with levels 1 (slight) to 5 (extreme):")
    typer.echo(aligned([(f"  {d.name}", d.aspect, d.description) for d in DISTORTIONS.values()]))


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
