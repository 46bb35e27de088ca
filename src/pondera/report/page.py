"""One self-contained HTML page about some systems: words, tables, figures, gallery, protocol.

Text from models and files reaches the page through an auto-escaping template only, and the page forbids itself
scripts and outside resources.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pondera.core.logistic import fit_logistic
from pondera.errors import MediaError, MissingExtra
from pondera.report import svg, words
from pondera.report.diagnosis import diagnosis_sections
from pondera.report.results import Results

Still = Callable[[str], NDArray[np.uint8]]

_THUMBNAIL_PX = 320
_WIDEST_PX = 40_000_000  # above, an image is named, not decoded: a page about a few images needs no giants


@dataclass(frozen=True)
class System:
    """One column of the page.

    Args:
        name: of the system.
        metrics: `overall`, `datasets`, `subsets`, each a summary as of `core.metrics.summarise`; where known also
            `views`, `worst_case`, `within_subsets`, `diagnosis`, see `evaluate.run.measure`.
        rows: predictions with `dataset`, `score`, `mos`, `scale_low`, `scale_high`.
    """

    name: str
    metrics: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]] = field(repr=False, default=())


@dataclass(frozen=True)
class GalleryEntry:
    """What one system said about one image.

    Args:
        system: its name.
        score: on the image's scale, NaN when invalid.
        reasoning: the thought before the score.
        aspects: grades that the reasoning gives.
        valid: the answer could be read.
        error: why it could not.
        percentile: of the score in the reference set, NaN without one.
    """

    system: str
    score: float
    reasoning: str = ""
    aspects: Mapping[str, int] = field(default_factory=dict)
    valid: bool = True
    error: str | None = None
    percentile: float = math.nan


@dataclass(frozen=True)
class GalleryItem:
    """One image with its label and what every system said."""

    path: str
    title: str
    mos: float
    scale: tuple[float, float]
    entries: tuple[GalleryEntry, ...]
    note: str = ""


def render_report(
    *,
    title: str,
    protocol: Mapping[str, Mapping[str, Any]],
    systems: Sequence[System],
    comparisons: Sequence[Mapping[str, Any]] = (),
    curves: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
    gallery: Sequence[GalleryItem] = (),
    truthfulness: Mapping[str, Mapping[str, Any]] | None = None,
    environment: Mapping[str, Any] | None = None,
    results: Results | None = None,
    warnings: Sequence[str] = (),
    reference_set: str = "",
    still_of: Still | None = None,
) -> str:
    """Render the page.

    Args:
        title: heading.
        protocol: facts by system name.
        systems: in the order of the tables.
        comparisons: `{baseline, other, n, n_dropped, srcc, plcc}`, the last two `{difference, ci, p, ...}`.
        curves: series of {step, value} by "stage/name" or name.
        gallery: images; those that cannot be read are named without a picture.
        truthfulness: by system name: `{n, fraction, fraction_ci, n_silent, types}`.
        environment: versions, seeds, machine.
        results: ours and published ones by test set.
        warnings: what a reader has to know before the numbers, such as training content in the test.
        reference_set: name of the set that percentiles in the gallery refer to.
        still_of: gives a picture, uint8 [H, W, 3], of a file that is no image; raises MediaError or MissingExtra.

    Raises:
        MissingExtra: Jinja is not installed.
    """
    template = _template()
    from markupsafe import Markup

    style = (files("pondera.report") / "templates" / "report.css").read_text(encoding="utf-8")
    metrics = {system.name: system.metrics for system in systems}
    truthfulness = truthfulness or {}
    return template.render(
        title=title,
        style=Markup(style),
        warnings=warnings,
        results=results if results and (len(results.columns) > 1 or results.sources) else None,
        reference_set=reference_set,
        summary=words.summary_sentences(metrics, comparisons, truthfulness),
        tables=[
            ("Overall", [(s.name, s.metrics["overall"]) for s in systems]),
            *_tables(systems, "datasets", 2),
            *_tables(systems, "views", 1),
        ],
        subsets=_tables(systems, "subsets", 1),
        worst_case=_worst_case(systems),
        within_subsets=[(s.name, s.metrics["within_subsets"]) for s in systems if s.metrics.get("within_subsets")],
        diagnoses=diagnosis_sections(metrics),
        distortions=_distortion_tables(metrics),
        bars=[(name, Markup(figure)) for name, figure in _bars(systems)],
        comparisons=comparisons,
        uncompared=[s.name for s in systems if not math.isfinite(s.metrics["overall"]["srcc"])],
        difference=Markup(_difference_figure(comparisons)),
        scatters=[(caption, Markup(figure)) for caption, figure in _scatters(systems)],
        thinned=svg.MOST_POINTS if any(len(system.rows) > svg.MOST_POINTS for system in systems) else 0,
        curves=[(stage, [Markup(f) for f in figures]) for stage, figures in _curve_figures(curves or {}).items()],
        gallery=[(item, _thumbnail(item.path, still_of)) for item in gallery],
        truthfulness=truthfulness,
        protocol=protocol,
        environment=environment or {},
    )


def _template() -> Any:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise MissingExtra("the HTML report needs Jinja", "report") from None
    environment = Environment(
        loader=PackageLoader("pondera.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": words.number, "p_value": words.p_value, "plain": _plain}
    environment.filters["by_note"] = words.by_note
    return environment.get_template("report.html.j2")


def _worst_case(systems: Sequence[System]) -> list[tuple[str, str, list[tuple[str, Any]]]]:
    """(level, heading, rows of (system, summary)) of the parts where a system gave answers that could not be read."""
    able = [System(s.name, s.metrics["worst_case"]) for s in systems if "worst_case" in s.metrics]
    levels = {"datasets": 2, "views": 1, "subsets": 1}
    lost = {s.name: {level: _with_invalid(s.metrics.get(level, {})) for level in levels} for s in systems}
    overall = [(s.name, s.metrics["overall"]) for s in able if any(lost[s.name].values())]
    found = [("overall", "Overall", overall)] if overall else []
    for level, fewest in levels.items():
        for heading, rows in _tables(able, level, fewest):
            if kept := [(name, summary) for name, summary in rows if heading in lost[name][level]]:
                found.append((level, heading, kept))
    return found


def _with_invalid(summaries: Mapping[str, Any]) -> set[str]:
    return {name for name, summary in summaries.items() if summary["n_invalid"]}


def _distortion_tables(metrics: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[tuple[str, Any]]]]:
    """(heading, rows of (system, summary)) per "dataset/type"."""
    found = {name: m["diagnosis"]["distortions"] for name, m in metrics.items() if "diagnosis" in m}
    kinds = sorted({kind for summaries in found.values() for kind in summaries})
    return [(kind.replace("_", " "), [(n, s[kind]) for n, s in found.items() if kind in s]) for kind in kinds]


def _tables(systems: Sequence[System], level: str, fewest: int) -> list[tuple[str, list[tuple[str, Any]]]]:
    """(heading, rows of (system, summary)) per dataset, view or subset; nothing below the fewest worth a table."""
    found = [(system.name, system.metrics.get(level, {})) for system in systems]
    names = sorted({name for _, summaries in found for name in summaries})
    if len(names) < fewest:
        return []
    return [(name, [(system, s[name]) for system, s in found if name in s]) for name in names]


def _bars(systems: Sequence[System]) -> list[tuple[str, str]]:
    figures = []
    for key, label in (("srcc", "SRCC"), ("plcc", "PLCC")):
        rows = [(s.name, s.metrics["overall"][key], *s.metrics["overall"][f"{key}_ci"]) for s in systems]
        figures.append((label, svg.intervals(rows, x_label=label)))
    return figures


def _difference_figure(comparisons: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (f"{c['other']} \N{MINUS SIGN} {c['baseline']}", c["srcc"]["difference"], *c["srcc"]["ci"]) for c in comparisons
    ]
    return svg.intervals(rows, x_label="difference in SRCC", zero=True) if rows else ""


def _scatters(systems: Sequence[System]) -> list[tuple[str, str]]:
    """One panel per system and dataset."""
    figures = []
    for index, system in enumerate(systems):
        for dataset in sorted({row["dataset"] for row in system.rows}):
            rows = [row for row in system.rows if row["dataset"] == dataset]
            points = [(r["score"], r["mos"]) for r in rows if math.isfinite(r["score"]) and math.isfinite(r["mos"])]
            if len({score for score, _ in points}) > 1:
                caption = system.name if len(system.metrics["datasets"]) < 2 else f"{system.name}, {dataset}"
                figures.append((caption, _scatter(points, index % 6)))
    return figures


def _scatter(points: list[tuple[float, float]], series: int) -> str:
    scores, labels = [x for x, _ in points], [y for _, y in points]
    fit = fit_logistic(scores, labels)
    low, high = min(scores), max(scores)
    along = [low + (high - low) * i / 80 for i in range(81)]
    curve = list(zip(along, fit.predict(along).tolist(), strict=True)) if fit.coefficient_L else []
    return svg.scatter(points, curve=curve, diagonal=True, x_label="score", y_label="MOS", series=series)


def _curve_figures(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, list[str]]:
    """Figures by training stage; series without a stage come under an empty heading."""
    stages: dict[str, list[str]] = {}
    for key, series in curves.items():
        stage, _, name = key.rpartition("/")
        points = [(float(p["step"]), float(p["value"])) for p in series if math.isfinite(p["value"])]
        if points:
            figures = stages.setdefault(stage, [])
            figures.append(svg.line(points, x_label="step", y_label=_series_name(name), series=len(figures) % 6))
    return stages


def _series_name(name: str) -> str:
    known = {"kl": "KL", "val_srcc": "held-out SRCC", "val_plcc": "held-out PLCC", "srcc": "SRCC", "plcc": "PLCC"}
    return known.get(name, name.replace("_", " "))


def _thumbnail(path: str, still_of: Still | None = None) -> tuple[str, str]:
    """(data URI, ""), or ("", why there is no picture)."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.width * image.height > _WIDEST_PX:
                return "", f"{image.width} x {image.height} pixels, not shown"
            image.draft("RGB", (2 * _THUMBNAIL_PX, 2 * _THUMBNAIL_PX))
            small = ImageOps.exif_transpose(image)
            small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
            return _data_uri(small), ""
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        if still_of is not None and not isinstance(error, FileNotFoundError):
            return _still(path, still_of)
        return "", "no picture: " + ("file not found" if isinstance(error, FileNotFoundError) else "cannot be read")


def _still(clip: str, still_of: Still) -> tuple[str, str]:
    from PIL import Image

    try:
        small = Image.fromarray(still_of(clip))
    except MissingExtra as error:
        return "", f"no picture: {error}"
    except MediaError:
        return "", "no picture: cannot be read"
    small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    return _data_uri(small), ""


def _data_uri(image: Any) -> str:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _plain(value: Any) -> str:
    """A fact as text: structures as JSON, numbers short."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
