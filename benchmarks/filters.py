"""Precision and recall of the teacher's filters on completions labelled by hand.

    python benchmarks/filters.py                  two thirds of the cases: what filters may be tuned on
    python benchmarks/filters.py --part held-out  the other third, chosen by a hash of the case's id
    python benchmarks/filters.py --part late      written when the first version was finished, then tuned on
    python benchmarks/filters.py --part final     written when the present version was finished; never tuned on
    python benchmarks/filters.py --part all --errors

Cases: benchmarks/data/filter_cases.jsonl, one a line: `expect` names the filters that should object (none: the
completion should be kept), `completion` is what a teacher wrote; `form`, `prompt`, `text`, `mos`, `scale`,
`distortions`, `before` (earlier thoughts on the sample) and `before_others` ([thought, copies] on other samples) say
what it was about. Every filter sees every case alone, so that none hides behind another; `overall` is the whole chain:
dropped or kept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from pondera import prompts
from pondera.core.answers import AnswerFormat
from pondera.core.records import FIVE_POINT, Distortion, LabelScale, Media, Sample
from pondera.teach.filters import Candidate, Filter, default_filters, fact_filter, run_filters, tolerance_filter

CASES = Path(__file__).parent / "data" / "filter_cases.jsonl"
FORMS = {
    "five": prompts.get("technical.image.five").answer,
    "compare": prompts.get("technical.image.compare").answer,
    "fast": prompts.get("technical.image.fast").answer,
}
TOLERANCE = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["tuning", "held-out", "late", "final", "all"], default="tuning")
    parser.add_argument("--errors", action="store_true", help="list every wrong verdict")
    args = parser.parse_args()
    cases = [case for line in CASES.read_text("utf-8").splitlines() if is_in(case := json.loads(line), args.part)]
    print(json.dumps(measure(cases, args.part, with_errors=args.errors), indent=2, ensure_ascii=False))


def is_in(case: dict[str, Any], part: str) -> bool:
    is_held_out = int(hashlib.sha256(case["id"].encode()).hexdigest(), 16) % 3 == 0
    own = case.get("part", "held-out" if is_held_out else "tuning")
    return part in ("all", own)


def measure(cases: list[dict[str, Any]], part: str, *, with_errors: bool) -> dict[str, Any]:
    names = [item.name for item in filters_of(AnswerFormat())]
    counts: dict[str, Counter[str]] = {name: Counter() for name in (*names, "overall")}
    errors = []
    for case in cases:
        found = verdicts(case)
        verdict_of = {name: (name in found, name in case["expect"]) for name in names}
        verdict_of["overall"] = (bool(found), bool(case["expect"]))
        for name, (is_found, is_expected) in verdict_of.items():
            counts[name][outcome(is_found, is_expected)] += 1
            if is_found != is_expected and name != "overall":
                errors.append({"case": case["id"], "filter": name, "said": found.get(name), "reason": case["reason"]})
    result = {"part": part, "cases": len(cases), "filters": {name: scores(count) for name, count in counts.items()}}
    result["overall"] = result["filters"].pop("overall")
    return result | ({"errors": errors} if with_errors else {})


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
        _, dropped = run_filters([*history, candidate], [item])
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
        "cases": hits + misses,
        "precision": round(hits / (hits + alarms), 3) if hits + alarms else None,
        "recall": round(hits / (hits + misses), 3) if hits + misses else None,
        "false_alarms": alarms,
        "misses": misses,
    }


if __name__ == "__main__":
    main()
