"""The page `docs/rewards.md`, made from the registries so that it cannot age.

python -m pondera.core.reference_page           write the page
python -m pondera.core.reference_page --check   exit 1 if it is stale
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

from pondera.core.answers import AnswerFormat, ClassField, JsonField, LabelsField, NumberField, Numbers
from pondera.core.presets import get_preset, get_system, list_systems
from pondera.core.rewards import SIDE_ARRAYS, Term, all_terms
from pondera.core.system import System, Weighted

PAGE = Path("docs") / "rewards.md"

_INTRODUCTION = """\
# Rewards

Made by `python -m pondera.core.reference_page` from the registries; do not edit by hand.

A *term* is a pure function of a pool: all roll-outs of the samples of one dataset in the global batch of one step. A
*system* adds terms up with weights and turns the sum into advantages. An invalid answer (unreadable, wrong count, off
the scale) takes no part in statistics and pairings, earns the system's floor, and enters its group's mean there.

`pondera rewards explain FILE.jsonl --preset NAME` shows all of it for logged completions. Every default is the
corrected behaviour; `NAME@as_released` is the released code to the letter on well-formed answers. It reads answers
that the released parser reads and we do not (off the scale, without a thought, with text around the blocks), but never
invents a number: where the released code puts a random or fixed score for a bad answer, ours stays invalid.

Symbols: q = score of an answer, y = MOS, both on the working scale; i, j = samples; k = roll-out; K = group size.
Marks in the notes: [stated] read in the named source; [inferred] follows from it; [unknown] not found; [ours] our
choice.
"""


def render() -> str:
    """The whole page."""
    systems = [system for name in list_systems() for system in _variants(name)]
    terms = {name: term for name, term in all_terms().items() if term.__module__.startswith("pondera.")}
    parts = [_INTRODUCTION, "## Systems\n", _overview(systems)]
    parts += [_system_section(name, [s for s in systems if _base(s) == name]) for name in list_systems()]
    parts += ["## Terms\n", *(_term_section(term, systems) for term in terms.values())]
    parts += ["## Side arrays\n", "Named [S, K] arrays that only the engine can compute, or a log can carry.\n"]
    parts.append(_table(("name", "what"), ((f"`{name}`", what) for name, what in SIDE_ARRAYS.items())))
    return "\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Write or check the page; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pondera.core.reference_page", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 if the page is stale, write nothing")
    parser.add_argument("--out", type=Path, default=PAGE, help=f"default {PAGE.as_posix()}")
    options = parser.parse_args(arguments)
    page = render()
    if not options.check:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(page, encoding="utf-8")
        return 0
    if options.out.is_file() and options.out.read_text(encoding="utf-8") == page:
        return 0
    print(f"{options.out} is stale; make it again with: python -m pondera.core.reference_page", file=sys.stderr)
    return 1


def _variants(name: str) -> list[System]:
    """Corrected stages, then the released form (its stages are one reward)."""
    preset = get_preset(name)
    systems = [get_system(name, stage) for stage in preset.stages or ("",)]
    return systems if preset.unreleased else [*systems, get_system(f"{name}@as_released")]


def _base(system: System) -> str:
    return system.name.partition("@")[0]


def _title(system: System) -> str:
    stage = f" ({system.stage})" if system.stage and not system.as_released else ""
    return f"`{system.name}`{stage}"


def _overview(systems: Iterable[System]) -> str:
    rows = (
        (
            _title(s),
            _scale(s),
            s.formula(),
            f"{s.floor:g}",
            " -> ".join(type(step).__name__ for step in s.advantage.steps),
        )
        for s in systems
    )
    return _table(("system", "scale", "reward of a valid answer", "floor", "advantage"), rows)


def _scale(system: System) -> str:
    return f"{system.scale.low:g}..{system.scale.high:g}"


def _system_section(name: str, systems: list[System]) -> str:
    preset, first = get_preset(name), systems[0]
    build = preset.build.__doc__ or ""
    lines = [
        f"### {name}\n",
        build.splitlines()[0] if build else "",
        "",
        f"Source: {first.source}.",
        "",
        first.notes,
        "",
    ]
    lines.append(f"- Answer: {_form(first.answer)}")
    lines += [f"- Answer to task `{task}`: {_form(form)}" for task, form in first.answers.items()]
    if preset.stages:
        lines.append(f"- Stages: {', '.join(preset.stages)}; the first one unless named")
    lines.append(f"- As released: {preset.unreleased + '; refused' if preset.unreleased else 'yes'}")
    for system in systems:
        lines.append(f"- {_title(system)}")
        lines += [f"    - {_weighted(weighted)}" for weighted in system.terms]
        lines += [f"    - advantage: `{_call(step)}`" for step in system.advantage.steps]
        if system.needs_side:
            lines.append(f"    - needs side arrays: {', '.join(system.needs_side)}")
        if system.second_views:
            lines.append(f"    - loss of second views: {', '.join(system.second_views)}")
    return "\n".join([*lines, ""])


def _weighted(weighted: Weighted) -> str:
    text = f"{weighted.name}: {weighted.weight:g} x `{_call(weighted.term)}`"
    if weighted.tasks:
        text += f" for task {', '.join(weighted.tasks)}"
    if weighted.optional:
        text += f" (only where side {', '.join(weighted.term.needs_side)} is given)"
    return text


def _call(value: Any) -> str:
    """A frozen dataclass as its name and the fields that differ from their defaults."""
    parts = [f"{f.name}={_plain(getattr(value, f.name))}" for f in fields(value) if not _is_default(value, f)]
    return f"{getattr(value, 'name', type(value).__name__)}({', '.join(parts)})"


def _is_default(value: Any, field: Any) -> bool:
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    return bool(getattr(value, field.name) == default)


def _plain(value: Any) -> str:
    return _call(value) if is_dataclass(value) else repr(value)


def _form(form: AnswerFormat) -> str:
    think = {"required": "a thought, then ", "absent": "", "opened": "an opened thought, then "}[form.think]
    if isinstance(form.body, Numbers):
        body = form.body
        prefix = f", each behind `{body.prefix}`" if body.prefix else ""
        names = f" ({', '.join(body.names)})" if body.names else ""
        return f"{think}{body.n} number{'s' * (body.n > 1)} in {body.low:g}..{body.high:g}{prefix}{names}"
    return think + ", ".join(f"`{key}`: {_json_field(spec)}" for key, spec in form.body.schema.items()) + " as JSON"


def _json_field(spec: JsonField) -> str:
    if isinstance(spec, NumberField):
        return f"number in {spec.low:g}..{spec.high:g}"
    if isinstance(spec, ClassField):
        return f"one of {', '.join(spec.options)}" if spec.options else "text"
    return "list of labels" if isinstance(spec, LabelsField) else "list of boxes"


def _term_section(term: type[Term], systems: Iterable[System]) -> str:
    used = dict.fromkeys(s.name for s in systems if any(_holds(w.term, term) for w in s.terms))
    doc = (term.__doc__ or "").splitlines()
    lines = [f"### {term.name}\n", doc[0] if doc else "", "", f"    {term.formula}", ""]
    lines += [f"- Range: {term.range}; invalid {term.floor:g}", f"- Branch: {term.branch}", f"- Source: {term.source}"]
    lines.append(f"- Known defect: {term.defect or 'none'}")
    if term.needs_side:
        lines.append(f"- Side arrays: {', '.join(f'`{name}`' for name in term.needs_side)}")
    parameters = ", ".join(f"`{key}={_default(value)}`" for key, value in term.parameters().items())
    lines.append(f"- Parameters: {parameters or 'none'}")
    lines.append(f"- Systems: {', '.join(f'`{name}`' for name in used) or 'none'}")
    return "\n".join([*lines, ""])


def _holds(term: Any, kind: type[Term]) -> bool:
    """Whether a term is of a kind, or has an inner term that is."""
    if isinstance(term, kind):
        return True
    return is_dataclass(term) and any(_holds(getattr(term, f.name), kind) for f in fields(term))


def _default(value: Any) -> str:
    return "required" if value is MISSING else _plain(value)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
