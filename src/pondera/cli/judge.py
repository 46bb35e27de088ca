"""`pondera judge`: how good are the descriptions, not the scores?"""

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
    client_settings,
)
from pondera.cli.options import Plain, PlainOption, aligned, progress, require

if TYPE_CHECKING:
    from pondera.evaluate.judge import Judgement
    from pondera.evaluate.predictions import Row
    from pondera.generate.chat import ChatClient


def judge(
    evaluations: Annotated[list[Path], typer.Argument(metavar="EVALUATION", help="Folder of pondera evaluate.")],
    judges: Annotated[
        list[str] | None, typer.Option("--judge", help="Model that judges; repeat it for several.", show_default="none")
    ] = None,
    base_urls: Annotated[
        list[str] | None,
        typer.Option("--base-url", help="Its service, such as http://127.0.0.1:8000/v1; one, or one per judge."),
    ] = None,
    api_key_envs: Annotated[
        list[str] | None,
        typer.Option(
            "--api-key-env",
            help="Environment variable with the key; one, or one per judge; '' sends none.",
            show_default="OPENAI_API_KEY; none where judges have different services",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Judgements of each text by each judge.", show_default="3")
    ] = None,
    blind: Annotated[bool, typer.Option("--blind", help="Tell judges neither label nor known distortions.")] = False,
    also_model: AlsoModelOption = None,
    concurrency: ConcurrencyOption = None,
    timeout: TimeoutOption = None,
    total_timeout: TotalTimeoutOption = None,
    max_rate: MaxRateOption = None,
    prices: Annotated[
        list[Prices] | None,
        typer.Option(
            help="Of a million prompt and completion tokens; one pair, or one per judge.",
            show_default="not counted",
            **PRICES_FORM,
        ),
    ] = None,
    max_cost: MaxCostOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for judge.json and the log of answers; needed with --judge.")
    ] = None,
    form: PlainOption = Plain.table,
) -> None:
    """Judge what systems write about images.

    Where distortions are known, texts are checked against them without any judge: what was done, where, how strongly.
    Judge models grade accuracy, reasonableness and completeness from 0 to 2. Recorded answers are never asked again.
    """
    client_options: dict[str, Any] = {
        "also_model": also_model,
        "concurrency": concurrency,
        "timeout": timeout,
        "total_timeout": total_timeout,
        "max_rate": max_rate,
        "max_cost": max_cost,
    }
    per_judge = {"base_url": base_urls, "api_key_env": api_key_envs, "prices": prices}
    if not judges:
        _refuse({**client_options, **per_judge, "seeds": seeds, "blind": blind or None})
    clients = _clients(judges or [], base_urls or [], api_key_envs or [], prices or [], client_options)
    if judges and out is None:
        raise typer.BadParameter("answers of judges are recorded; say where", param_hint="--out")
    require("report", "pyarrow")

    from pondera.core.metrics import jsonable
    from pondera.evaluate.grounded import grounded_checks

    systems = _read(evaluations)
    report: dict[str, Any] = {"grounded": {name: grounded_checks(rows) for name, rows in systems.items()}}
    if clients and out is not None:
        report |= _judged(systems, clients, out, seeds=seeds or 3, blind=blind)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(jsonable(report), indent=2, ensure_ascii=False)
        (out / "judge.json").write_text(text + "\n", encoding="utf-8")
    typer.echo(json.dumps(jsonable(report), indent=2, ensure_ascii=False) if form is Plain.json else _text(report))
    if judges and not any(found["n"] for found in report["judged"]["systems"].values()):
        typer.echo(f"no answer of a judge could be read; they stand in {out}/judgements.jsonl", err=True)
        raise typer.Exit(1)


def _refuse(options: Mapping[str, Any]) -> None:
    """Options of judges where nobody judges."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None and value != []]
    if given:
        raise typer.BadParameter("goes with --judge only", param_hint=", ".join(given))


def _clients(
    judges: list[str],
    base_urls: list[str],
    api_key_envs: list[str],
    prices: list[Prices],
    options: Mapping[str, Any],
) -> list[ChatClient]:
    """One of each judge; the limits of cost and time hold for all of them together."""
    from pondera.generate.chat import Budget, ChatClient, Deadline

    addresses = _addresses(judges, base_urls)
    key_envs = _key_envs([url for _, url in addresses], api_key_envs)
    prices_of = _prices(prices, len(addresses))
    if options["max_cost"] is not None and None in prices_of:
        raise typer.BadParameter("needs the prices of every judge; 0,0 where one costs nothing", param_hint="--prices")
    budget, deadline = Budget(options["max_cost"]), Deadline(options["total_timeout"])
    own = {name: value for name, value in options.items() if name not in ("max_cost", "total_timeout")}
    settings = client_settings(own)
    return [
        ChatClient(url, model, api_key_env=api_key_env, prices=pair, budget=budget, deadline=deadline, **settings)
        for (model, url), api_key_env, pair in zip(addresses, key_envs, prices_of, strict=True)
    ]


def _addresses(judges: list[str], base_urls: list[str]) -> list[tuple[str, str]]:
    if len(set(judges)) != len(judges):
        raise typer.BadParameter("a judge stands twice; seeds are for repeating", param_hint="--judge")
    if judges and len(base_urls) not in (1, len(judges)):
        raise typer.BadParameter(
            f"give one, or one for each of {len(judges)} judges; got {len(base_urls)}", param_hint="--base-url"
        )
    urls = base_urls * len(judges) if len(base_urls) == 1 else base_urls
    return list(zip(judges, urls, strict=True))


def _key_envs(urls: list[str], given: list[str]) -> list[str]:
    """Of each judge. A key is for one service: with several, each needs its own."""
    from pondera.generate.chat_address import DEFAULT_KEY_ENV, origin

    if len(given) == len(urls):
        return given
    is_one_service = len({origin(url) for url in urls}) <= 1
    if len(given) > 1 or (given and not is_one_service):
        raise typer.BadParameter(
            f"give one for each of {len(urls)} judges ('' for none), or one for all judges of one service; got "
            f"{len(given)}",
            param_hint="--api-key-env",
        )
    return (given or [DEFAULT_KEY_ENV if is_one_service else ""]) * len(urls)


def _prices(given: list[Prices], num_judges: int) -> list[Prices | None]:
    """Of each judge; None where they are not known."""
    if len(given) not in (0, 1, num_judges):
        raise typer.BadParameter(
            f"give one pair, or one for each of {num_judges} judges; got {len(given)}", param_hint="--prices"
        )
    if len(given) == num_judges:
        return [*given]
    return [given[0] if given else None] * num_judges


def _read(folders: list[Path]) -> dict[str, list[Row]]:
    from pondera.evaluate.predictions import read_predictions

    return {folder.as_posix(): read_predictions(folder / "predictions.parquet") for folder in folders}


def _judged(
    systems: dict[str, list[Row]], clients: Sequence[ChatClient], out: Path, *, seeds: int, blind: bool
) -> dict[str, Any]:
    from pondera import prompts
    from pondera.evaluate.judge import PROMPT, TEMPERATURE, judge_texts
    from pondera.evaluate.judge_summary import summarise_judgements

    judgements: list[Judgement] = []
    spending: dict[str, Any] = {}
    for client in clients:
        show = progress(f"judged by {client.model}")
        log = out / "judgements.jsonl"
        judged = judge_texts(systems, client, log, seeds=range(seeds), with_facts=not blind, on_progress=show)
        judgements += judged.judgements
        spending[client.model] = judged.spending()
    protocol = {
        "judges": [client.model for client in clients],
        "seeds": seeds,
        "temperature": TEMPERATURE,
        "facts_told": not blind,
        "prompt": PROMPT,
        "prompt_hash": prompts.get(PROMPT).hash,
    }
    return {"judged": summarise_judgements(judgements), "spending": spending, "protocol": protocol}


def _text(report: dict[str, Any]) -> str:
    parts = [_grounded_text(report["grounded"])]
    if "judged" in report:
        parts += [_judged_text(report["judged"]), _spending_text(report["spending"])]
    return "\n\n".join(parts)


def _grounded_text(grounded: dict[str, Any]) -> str:
    rows: list[tuple[str, ...]] = [
        ("grounded checks", "n", "precision", "recall", "f1", "severity", "place named", "place right")
    ]
    for name, found in grounded.items():
        what, strength, where = found["what"], found["how_strongly"], found["where"]
        numbers = (what["precision"], what["recall"], what["f1"], strength["srcc"], where["named"], where["right"])
        rows.append((name, str(found["n"]), *(f"{x:.3f}" for x in numbers)))
        chance = (found["by_chance"][key] for key in ("precision", "recall", "f1", "srcc"))
        rows.append(("  same texts, other images", "", *(f"{x:.3f}" for x in chance), "", ""))
    return aligned(rows)


def _judged_text(judged: dict[str, Any]) -> str:
    names = ("accuracy", "reasonableness", "completeness", "overall")
    rows: list[tuple[str, ...]] = [("judged, 0 to 2", "n", *names)]
    for system, found in judged["systems"].items():
        rows.append((system, str(found["n"]), *(_mean(found[name]) for name in names)))
    rows.append(("agreement of judges (alpha)", "", *(f"{judged['between_judges'][name]:.3f}" for name in names)))
    for model, found in judged["judges"].items():
        alphas = (f"{found['between_seeds'][name]:.3f}" for name in names)
        rows.append((f"  seeds of {model} (alpha)", "", *alphas))
        rows.append((f"  unreadable from {model}", f"{found['n_unreadable']} of {found['n']}", "", "", "", ""))
    return aligned(rows)


def _spending_text(spending: dict[str, Any]) -> str:
    """Requests of all runs for these answers, and what they cost where prices were given."""
    names = ("answers", "new", "requests", "repeated", "retries")
    rows: list[tuple[str, ...]] = [("asked", *names, "cost", "of it unusable")]
    for model, found in spending.items():
        costs = [found[part].get("cost") for part in ("usage", "unusable")]
        total = f"{sum(cost or 0 for cost in costs):g}" if any(cost is not None for cost in costs) else "not counted"
        rows.append((model, *(str(found[name]) for name in names), total, f"{costs[1] or 0:g}"))
    return aligned(rows)


def _mean(found: dict[str, Any]) -> str:
    low, high = found["ci"]
    return f"{found['mean']:.2f} [{low:.2f}, {high:.2f}]"
