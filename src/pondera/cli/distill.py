"""`pondera distill`: rationales for a cold start, from a teacher."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pondera.cli.client_options import (
    PRICES_FORM,
    AlsoModelOption,
    ConcurrencyOption,
    MaxCostOption,
    MaxRateOption,
    Prices,
    TimeoutOption,
    TotalTimeoutOption,
)
from pondera.cli.distill_teachers import TeacherKind, build_second_opinion, build_teacher
from pondera.cli.options import Plain, PlainOption, aligned, facts, printable, progress

if TYPE_CHECKING:
    from pondera.core.answers import AnswerFormat
    from pondera.core.records import LabelScale, Sample
    from pondera.teach import Distillation
    from pondera.teach.filters import Filter


def distill(
    out: Annotated[Path, typer.Option(help="Manifest to write (.jsonl), or a folder; responses are logged beside it.")],
    manifest: Annotated[
        Path | None, typer.Argument(metavar="MANIFEST", help="JSONL, one sample a line; not needed with --status.")
    ] = None,
    status: Annotated[
        bool, typer.Option("--status", help="Only show how far the run in --out is; other options do not matter.")
    ] = False,
    teacher: Annotated[
        TeacherKind,
        typer.Option(
            help="measuring: offline, from pixels; openai: a service; vllm: GPUs of this machine; command: a program."
        ),
    ] = TeacherKind.measuring,
    command: Annotated[
        str | None,
        typer.Option(help="The program, teacher command only: a JSON request per line in, a JSON answer per line out."),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            help="What is asked; nano knows short.unit. measuring takes only the form of the answer from it.",
            show_default="quality.expert; measuring: one number",
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="Address of the service, such as http://127.0.0.1:8000/v1; teacher openai only."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "--teacher-model", help="Its name on the service; for vllm a folder or the id of a stock model."
        ),
    ] = None,
    teacher_version: Annotated[
        str | None,
        typer.Option(help="Marks another model under the same name: what an earlier one said does not count."),
    ] = None,
    also_model: AlsoModelOption = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(help="Environment variable with the key; '' sends none.", show_default="OPENAI_API_KEY"),
    ] = None,
    concurrency: ConcurrencyOption = None,
    temperature: Annotated[
        list[float] | None,
        typer.Option(min=0, help="Of the completions; several are taken in turn.", show_default="0.7"),
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Longest completion.", show_default="1024")] = None,
    max_pixels: Annotated[
        int | None, typer.Option(min=1, help="Larger images are scaled down.", show_default="1000000")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Of each video file, sent in order.", show_default="8")
    ] = None,
    timeout: TimeoutOption = None,
    total_timeout: TotalTimeoutOption = None,
    max_rate: MaxRateOption = None,
    prices: Annotated[
        Prices | None,
        typer.Option(help="Of a million prompt and completion tokens.", show_default="not counted", **PRICES_FORM),
    ] = None,
    max_cost: MaxCostOption = None,
    gpus: Annotated[int | None, typer.Option(min=1, help="Spread a vllm model over so many.", show_default="1")] = None,
    max_length: Annotated[
        int | None,
        typer.Option(min=1, help="Longest prompt with completion of a vllm model, tokens.", show_default="its limit"),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Only samples of this split.", show_default="all")] = None,
    num: Annotated[int, typer.Option(min=1, help="Completions per sample; the best verified one is kept.")] = 1,
    tolerance: Annotated[
        float | None, typer.Option(help="Drop answers farther than this from the label.", show_default="no limit")
    ] = None,
    replace_score: Annotated[
        bool, typer.Option("--replace-score", help="Put the label in place of the teacher's score.")
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Finish without responses that could not be had.")
    ] = False,
    check_facts: Annotated[
        bool,
        typer.Option("--check-facts", help="Drop thoughts that contradict the known distortions of their sample."),
    ] = False,
    opinion_model: Annotated[
        str | None,
        typer.Option("--second-opinion", metavar="MODEL", help="Ask this model whether thought and score agree."),
    ] = None,
    opinion_url: Annotated[str | None, typer.Option(help="Address of its service.", show_default="--base-url")] = None,
    opinion_also_model: Annotated[
        list[str] | None,
        typer.Option(
            help="Another name under which it may answer; repeatable.",
            show_default="--also-model, for the same model and service",
        ),
    ] = None,
    opinion_key_env: Annotated[
        str | None,
        typer.Option(
            help="Environment variable with its key.", show_default="the teacher's, for the same service only"
        ),
    ] = None,
    opinion_prices: Annotated[
        Prices | None,
        typer.Option(
            help="Of a million of its prompt and completion tokens.",
            show_default="--prices, for the same model and service",
            **PRICES_FORM,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the teacher.")] = 0,
    form: PlainOption = Plain.table,
) -> None:
    """Ask a teacher to explain images, verify what it says, and write a manifest with rationales.

    Every response is logged first: an interrupted run goes on where it was, and other filters ask for nothing again.
    Concurrency, time-outs, rate and cost limit hold for second opinions too, --timeout also for an answer of a program.
    """
    if status:
        _show_status(out, form)
        return
    if manifest is None:
        raise typer.BadParameter("is missing; only --status does without", param_hint="MANIFEST")
    if tolerance is not None and not tolerance > 0:
        raise typer.BadParameter(f"must be > 0 (units of the scale), got {tolerance:g}", param_hint="--tolerance")

    from pondera.teach import distill as run

    chosen = _samples(manifest, split)
    asking = {
        "command": command,
        "prompt": prompt,
        "base_url": base_url,
        "model": model,
        "teacher_version": teacher_version,
        "also_model": also_model,
        "api_key_env": api_key_env,
        "concurrency": concurrency,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "max_pixels": max_pixels,
        "frames": frames,
        "timeout": timeout,
        "total_timeout": total_timeout,
        "max_rate": max_rate,
        "prices": prices,
        "max_cost": max_cost,
        "gpus": gpus,
        "max_length": max_length,
    }
    second = {
        "second_opinion": opinion_model,
        "opinion_url": opinion_url,
        "opinion_also_model": opinion_also_model,
        "opinion_key_env": opinion_key_env,
        "opinion_prices": opinion_prices,
    }
    who, answer_format = build_teacher(teacher, asking, asks_others=opinion_model is not None)
    second_opinion = build_second_opinion(second, asking, who)
    done = run(
        chosen,
        who,
        out,
        num=num,
        filters=_filters(answer_format, tolerance, chosen if check_facts else None),
        seed=seed,
        replace_score=replace_score,
        answer_format=answer_format,
        allow_missing=allow_missing,
        second_opinion=second_opinion,
        on_progress=progress("responses"),
    )
    typer.echo(json.dumps(done.to_dict(), indent=2, ensure_ascii=False) if form is Plain.json else _text(done))
    if 2 * done.dropped.get("format", 0) > done.num_responses:
        typer.echo("most completions lack the form that was asked for; does the model know this --prompt?", err=True)
    if not done.num_kept:
        typer.echo("no completion passed the filters: see the counts above", err=True)
        raise typer.Exit(1)


def _samples(manifest: Path, split: str | None) -> list[Sample]:
    from pondera.data.manifest import read_manifest

    chosen = read_manifest(manifest, split=split)
    if not chosen:
        where = f"has split {split!r}" if split else "is there"
        raise typer.BadParameter(f"no sample {where} in {manifest}", param_hint="--split" if split else "MANIFEST")
    return chosen


def _show_status(out: Path, form: Plain) -> None:
    from pondera.teach import status

    found = status(out)
    if form is Plain.json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    typer.echo(facts(_progress_facts(found)))
    drops = _drops(found.get("dropped", {}), found.get("reasons", {}))
    missing = [f"missing {name}: {why}" for name, why in found.get("missing", {}).items()]
    for line in [*drops, *missing]:
        typer.echo(line)


def _progress_facts(found: Mapping[str, Any]) -> dict[str, Any]:
    """Names and values of a status; completions are kept and rejected once the run is done."""
    shown = {
        name: found[name]
        for name in ("state", "reason", "recorded", "wanted", "requests", "repeated", "retries")
        if name in found
    }
    if "reason" in shown:
        shown["reason"] = printable(shown["reason"])  # a service may have said it
    if "num_kept" in found:
        shown["kept"] = f"{found['num_kept']} of {found['num_samples']} samples"
        shown["rejected"] = f"{sum(found['dropped'].values())} of {found['num_responses']} responses"
    shown |= found["usage"]
    shown |= {f"opinions {name}": value for name, value in found["opinions"].items()}
    shown |= {f"opinions {name}": value for name, value in found["opinion_usage"].items()}
    shown |= {f"unusable {name}": value for name, value in found["unusable"].items()}
    has_parts = any("cost" in found[part] for part in ("opinion_usage", "unusable"))
    return {**shown, "total cost": found["cost"]} if has_parts else shown


def _drops(dropped: Mapping[str, int], reasons: Mapping[str, str]) -> list[str]:
    """How many completions each filter dropped, and why; nothing where none did."""
    rows = [(f"  {count}", name, reasons[name]) for name, count in dropped.items() if count]
    return ["dropped:", aligned(rows)] if rows else []


def _filters(
    answer_format: AnswerFormat, tolerance: float | None, checked: Sequence[Sample] | None
) -> tuple[Filter, ...]:
    """The default filters and those asked for; `checked` are the samples whose distortions are held against words."""
    from pondera.teach.filters import default_filters, fact_filter, tolerance_filter

    filters = default_filters(answer_format)
    if tolerance is not None:
        filters += (tolerance_filter(tolerance, _scale(answer_format)),)
    if checked is None:
        return filters
    if not any(sample.distortions for sample in checked):
        raise typer.BadParameter("no sample has known distortions", param_hint="--check-facts")
    return (*filters, fact_filter())


def _scale(answer_format: AnswerFormat) -> LabelScale:
    from pondera.core.answers import Numbers
    from pondera.core.records import LabelScale

    if not isinstance(answer_format.body, Numbers):
        raise typer.BadParameter("needs a prompt that asks for numbers", param_hint="--tolerance")
    return LabelScale(answer_format.body.low, answer_format.body.high)


def _text(done: Distillation) -> str:
    lines = [f"{done.manifest}: {done.num_kept} of {done.num_samples} samples have a rationale"]
    lines.append(f"{done.num_responses} responses, {done.num_new} of them new")
    if done.num_missing:
        lines.append(f"{done.num_missing} responses are missing; the same command asks for them again")
    if done.opinions:
        counts = [f"{count} {name}" for name, count in done.opinions.items()]
        cost = [f"cost {done.opinion_usage['cost']:g}"] if "cost" in done.opinion_usage else []
        lines.append("second opinions: " + ", ".join([*counts, *cost]))
    drops = _drops(done.dropped, done.reasons)
    return "\n".join([*lines, *drops, *([f"examples: {done.report}"] if drops else [])])
