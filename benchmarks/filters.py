"""Precision and recall of the teacher's filters on completions labelled by hand.

    python benchmarks/filters.py                                  development and final cases, apart and in total
    python benchmarks/filters.py --part development --errors      and every wrong verdict on what may be tuned on

Cases: benchmarks/data/filter_cases.jsonl, one a line: `expect` names the filters that should object (none: the
completion should be kept), `completion` is what a teacher wrote; `form`, `prompt`, `text`, `mos`, `scale`,
`distortions`, `before` (earlier thoughts on the sample) and `before_others` ([thought, copies] on other samples) say
what it was about. Cases with `"part": "final"` were written when the filters were finished and must not be tuned on; a
final set that has been looked at becomes development, and a new one is written. Every filter sees every case alone, so
that none hides behind another; `overall` is the whole chain: dropped or kept.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pondera import prompts
from pondera.core.answers import AnswerFormat
from pondera.core.records import FIVE_POINT, Distortion, LabelScale, Media, Sample
from pondera.teach.filters import Candidate, Filter, default_filters, fact_filter, run_filters, tolerance_filter

CASES = Path(__file__).parent / "data" / "filter_cases.jsonl"
PARTS = ("development", "final")
FORMS = {
    "five": prompts.get("technical.image.five").answer,
    "compare": prompts.get("technical.image.compare").answer,
    "fast": prompts.get("technical.image.fast").answer,
}
TOLERANCE = 1.0
OVERALL = "overall"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, action="append", help="default: both")
    parser.add_argument("--errors", action="store_true", help="list every wrong verdict")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    cases = [json.loads(line) for line in CASES.read_text("utf-8").splitlines()]
    found = {part: measure([case for case in cases if part_of(case) == part]) for part in args.part or PARTS}
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for part, result in found.items():
        print(table(part, result))
        if args.errors:
            print("\n".join(json.dumps(error, ensure_ascii=False) for error in result["errors"]))


def part_of(case: dict[str, Any]) -> str:
    return str(case.get("part", "development"))


def measure(cases: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts of every filter and of the chain, and what they got wrong."""
    names = [item.name for item in filters_of(AnswerFormat())]
    counts: dict[str, Counter[str]] = {name: Counter() for name in (*names, OVERALL)}
    errors = []
    for case in cases:
        found = verdicts(case)
        verdict_of = {name: (name in found, name in case["expect"]) for name in names}
        verdict_of[OVERALL] = (bool(found), bool(case["expect"]))
        for name, (is_found, is_expected) in verdict_of.items():
            counts[name][outcome(is_found, is_expected)] += 1
            if is_found != is_expected and name != OVERALL:
                errors.append({"case": case["id"], "filter": name, "said": found.get(name), "reason": case["reason"]})
    filters = {name: scores(count) for name, count in counts.items()}
    return {"cases": len(cases), "filters": filters, "errors": errors}


def table(part: str, result: dict[str, Any]) -> str:
    """One row a filter, in Markdown."""
    lines = [
        f"\n{part}: {result['cases']} cases\n",
        "| filter | bad | precision | recall | false alarms | misses |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in result["filters"].items():
        numbers = ["-" if row[key] is None else f"{row[key]:.2f}" for key in ("precision", "recall")]
        lines.append(f"| {name} | {row['bad']} | {' | '.join(numbers)} | {row['false_alarms']} | {row['misses']} |")
    return "\n".join(lines)


def verdicts(case: dict[str, Any]) -> dict[str, str]:
    """What each filter says of the case on its own; filters of thoughts are not asked about unreadable ones."""
    form = FORMS.get(case.get("form", ""), AnswerFormat())
    sample = sample_of(case)
    candidate = Candidate(sample, 99, case["completion"], form.parse(case["completion"]), prompt_of(case))
    history = earlier(case, sample)
    found = {}
    for item in filters_of(form):
        if candidate.answer.error is not None and item.name not in ("refusal", "score_range", "format"):
            continue
        _, dropped = run_filters([*history, candidate] if item.compares else [candidate], [item])
        if dropped and dropped[-1][0] is candidate:
            found[item.name] = dropped[-1][2]
    if "score_range" in found:  # in the chain it comes first, with the better reason
        found.pop("format")
    return found


def filters_of(form: AnswerFormat) -> tuple[Filter, ...]:
    return (*default_filters(form), tolerance_filter(TOLERANCE, FIVE_POINT), fact_filter())


def sample_of(case: dict[str, Any]) -> Sample:
    return Sample(
        "case",
        (Media("case.png"),),
        mos=case.get("mos"),
        scale=LabelScale(*case["scale"]) if "scale" in case else None,
        text=case.get("text"),
        distortions=tuple(Distortion(d["type"], d["level"]) for d in case.get("distortions", [])),
    )


def prompt_of(case: dict[str, Any]) -> str:
    if "prompt" not in case:
        return ""
    prompt = prompts.get(case["prompt"])
    return prompt.render(**({"text": case["text"]} if "text" in prompt.fields else {}))


def earlier(case: dict[str, Any], sample: Sample) -> list[Candidate]:
    """What was kept before the case."""
    thoughts = [(sample, thought) for thought in case.get("before", [])]
    for thought, copies in case.get("before_others", []):
        thoughts += [(Sample(f"other {n}", (Media("other.png"),)), thought) for n in range(copies)]
    completions = [(of, f"<think>{thought}</think><answer>3.00</answer>") for of, thought in thoughts]
    return [Candidate(of, k, text, AnswerFormat().parse(text)) for k, (of, text) in enumerate(completions)]


def outcome(is_found: bool, is_expected: bool) -> str:
    return ("hit" if is_expected else "false alarm") if is_found else ("miss" if is_expected else "pass")


def scores(count: Counter[str]) -> dict[str, float | int | None]:
    hits, alarms, misses = count["hit"], count["false alarm"], count["miss"]
    return {
        "bad": hits + misses,
        "precision": round(hits / (hits + alarms), 3) if hits + alarms else None,
        "recall": round(hits / (hits + misses), 3) if hits + misses else None,
        "false_alarms": alarms,
        "misses": misses,
    }


if __name__ == "__main__":
    main()
