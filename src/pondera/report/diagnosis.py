"""Figures and sentences of the report's section on errors: calibration, uncertainty, reasoning against score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pondera.report import svg
from pondera.report.words import number


@dataclass(frozen=True)
class DiagnosisSection:
    """What is shown about one system.

    Args:
        name: of the system.
        figures: (SVG that needs no escaping, caption).
        sentences: what the numbers say.
    """

    name: str
    figures: list[tuple[Any, str]]
    sentences: list[str]


def diagnosis_sections(metrics: Mapping[str, Mapping[str, Any]]) -> list[DiagnosisSection]:
    """One section per system whose metrics hold a diagnosis, see `evaluate.diagnosis.diagnose`.

    Args:
        metrics: by system name.
    """
    from markupsafe import Markup

    sections = []
    for index, (name, found) in enumerate((n, m["diagnosis"]) for n, m in metrics.items() if "diagnosis" in m):
        parts = [
            _calibration(found["calibration"], index % 6),
            _uncertainty(found["uncertainty"], index % 6),
            ("", "", _reasoning(found["reasoning"])),
        ]
        figures = [(Markup(figure), caption) for figure, caption, _ in parts if figure]
        sentences = [sentence for *_, sentence in parts if sentence]
        if figures or sentences:
            sections.append(DiagnosisSection(name, figures, sentences))
    return sections


def _calibration(found: Mapping[str, Any], series: int) -> tuple[str, str, str]:
    points = [(b["score"], b["mos"]) for b in found["bins"]]
    if len(points) < 2:
        return "", "", ""
    figure = svg.scatter(points, curve=points, diagonal=True, x_label="score", y_label="mean MOS", series=series)
    word = "above" if found["bias"] > 0 else "below"
    sentence = (
        f"Scores lie {_percent(abs(found['bias']))} of the scale {word} the labels on average; where similar scores "
        f"are taken together, their mean label is {_percent(found['error'])} of the scale away."
    )
    return (
        figure,
        "Calibration: mean label of samples with similar scores, 0 is the worst of the scale, 1 the best.",
        sentence,
    )


def _uncertainty(found: Mapping[str, Any], series: int) -> tuple[str, str, str]:
    if not found:
        return "", "", ""
    points = [(b["spread"], b["error"]) for b in found["bins"]]
    figure = svg.scatter(points, curve=points, diagonal=True, x_label="spread", y_label="mean error", series=series)
    sentence = (
        f"Spread and error agree with SRCC {number(found['srcc'])}. {_percent(found['within_spread'])} of the labels "
        f"lie within one spread of the score and {_percent(found['within_two_spreads'])} within two; with a normal "
        "error of that size it would be 68 % and 95 %."
    )
    return figure, "Uncertainty: mean error of samples with similar spread, as shares of the scale.", sentence


def _reasoning(found: Mapping[str, Any]) -> str:
    if not found:
        return ""
    silent = f" {found['num_silent']:,} answers grade nothing." if found["num_silent"] else ""
    return (
        f"The mean grade in the reasoning agrees with the score below it with SRCC {number(found['srcc'])}, and with "
        f"the label with SRCC {number(found['srcc_mos'])} (n = {found['n']:,}); in "
        f"{_percent(found['contradictions'])} of the answers they contradict each other by more than one and a half "
        f"grades.{silent}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%" if math.isfinite(share) else "\N{EN DASH}"
