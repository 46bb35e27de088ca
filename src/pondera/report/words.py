"""The summary at the top of the page, written from the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def summary_sentences(
    metrics: Mapping[str, Mapping[str, Any]],
    comparisons: Sequence[Mapping[str, Any]],
    truthfulness: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    """What the page shows, in sentences that claim no more than the intervals allow.

    Args:
        metrics: of each system by name (`overall`, `datasets`, `subsets`).
        comparisons: paired differences.
        truthfulness: of each system's reasoning by name.
    """
    sentences = []
    overall = {name: m["overall"] for name, m in metrics.items()}
    known = {name: o for name, o in overall.items() if math.isfinite(o["srcc"])}
    if known:
        best = max(known, key=lambda name: known[name]["srcc"])
        o = known[best]
        text = f"{best} reaches SRCC {with_interval(o, 'srcc')} and PLCC {with_interval(o, 'plcc')}"
        text += f" on {o['n']:,} scored samples of {o['n_clusters']:,} contents"
        others = len(known) - 1
        sentences.append(text + (f", the highest SRCC of {others + 1} systems." if others else "."))
    for name in (name for name in overall if name not in known):
        sentences.append(f"{name} has no correlation: its scores are constant, or too few are valid.")
    sentences += [_comparison(comparison) for comparison in comparisons]
    sentences += [_validity(name, o) for name, o in overall.items() if o["n_invalid"]]
    if overall and not any(o["n_invalid"] for o in overall.values()):
        sentences.append("Every answer was valid.")
    told = [f"{_share(truth)} for {name}" for name, truth in truthfulness.items() if truth["n"]]
    if told:
        cases = max(truth["n"] for truth in truthfulness.values())
        sentences.append(
            f"Where one strong defect was put in ({cases} cases), the reasoning names it as the worst aspect, and "
            f"grades it so, in {', '.join(told)}."
        )
    return sentences


def by_note(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, list[str]]]:
    """Every remark about a summary once, with the systems that it holds for.

    Args:
        rows: system and summary.
    """
    names_of: dict[str, list[str]] = {}
    for name, summary in rows:
        for note in summary.get("notes", ()):
            names_of.setdefault(note, []).append(name)
    return list(names_of.items())


def with_interval(summary: Mapping[str, Any], key: str) -> str:
    """A number with its interval: 0.812 [0.780, 0.841]."""
    value, (low, high) = summary[key], summary[f"{key}_ci"]
    if not math.isfinite(value):
        return "undefined"
    return number(value) + (f" [{number(low)}, {number(high)}]" if math.isfinite(low) else "")


def number(value: Any, digits: int = 3) -> str:
    """A number for a table: a dash where undefined, a real minus sign."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "\N{EN DASH}"
    text = f"{value:,}" if isinstance(value, int) else f"{value:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def p_value(value: float) -> str:
    """p, never as zero."""
    if not math.isfinite(value):
        return "\N{EN DASH}"
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _comparison(comparison: Mapping[str, Any]) -> str:
    srcc = comparison["srcc"]
    baseline, other = comparison["baseline"], comparison["other"]
    low, high = srcc["ci"]
    if not math.isfinite(low):
        return f"{other} and {baseline} cannot be compared: one of them has no SRCC."
    interval = f"95 % interval {number(low)} to {number(high)}"
    if low <= 0 <= high:
        return f"{other} and {baseline} cannot be told apart in SRCC ({interval} includes zero)."
    word = "above" if srcc["difference"] > 0 else "below"
    return f"{other} is {word} {baseline} by {number(abs(srcc['difference']))} in SRCC ({interval}, paired by sample)."


def _validity(name: str, overall: Mapping[str, Any]) -> str:
    invalid, total = overall["n_invalid"], overall["n"] + overall["n_invalid"]
    answers = "1 invalid answer" if invalid == 1 else f"{invalid} invalid answers"
    return f"{name} gave {answers} out of {total} ({100 * invalid / total:.1f} %), left out of its metrics."


def _share(truth: Mapping[str, Any]) -> str:
    low, high = truth["fraction_ci"]
    interval = f" ({100 * low:.0f} to {100 * high:.0f}\N{NO-BREAK SPACE}%)" if math.isfinite(low) else ""
    return f"{100 * truth['fraction']:.0f}\N{NO-BREAK SPACE}%{interval}"
