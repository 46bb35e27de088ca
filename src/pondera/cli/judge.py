"""`pondera judge`: how good are the descriptions, not the scores?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pondera.cli.options import Plain, PlainOption, aligned, progress, require

if TYPE_CHECKING:
    from pondera.evaluate.judge import Judgement
    from pondera.evaluate.predictions import Row


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
    concurrency: Annotated[int | None, typer.Option(min=1, help="Requests at a time.", show_default="8")] = None,
    prices: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IN,OUT",
            help="Of a million prompt and completion tokens; one, or one per judge.",
            show_default="not counted",
        ),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            help="Limit of what this run may spend, all judges together; no request is begun that could pass it.",
            show_default="no limit",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for judge.json and the log of answers; needed with --judge.")
    ] = None,
    form: PlainOption = Plain.table,
) -> None:
    """Judge what systems write about images.

    Where distortions are known, texts are checked against them without any judge: what was done, where, how strongly.
    Judge models grade accuracy, reasonableness and completeness from 0 to 2. Recorded answers are never asked again.
    """
    given: dict[str, Any] = {
        "--base-url": base_urls,
        "--api-key-env": api_key_envs,
        "--seeds": seeds,
        "--concurrency": concurrency,
        "--prices": prices,
        "--max-cost": max_cost,
    }
    extra = [name for name, value in {**given, "--blind": blind or None}.items() if value is not None and value != []]
    if not judges and extra:
        raise typer.BadParameter("goes with --judge only", param_hint=", ".join(extra))
    addresses = _addresses(judges or [], base_urls or [])
    key_envs = _key_envs([url for _, url in addresses], api_key_envs or [])
    prices_of = _prices(prices or [], len(addresses))
    if max_cost is not None and None in prices_of:
        raise typer.BadParameter("needs the prices of every judge; 0,0 where one costs nothing", param_hint="--prices")
    if judges and out is None:
        raise typer.BadParameter("answers of judges are recorded; say where", param_hint="--out")
    require("report", "pyarrow")

    from pondera.core.metrics import jsonable
    from pondera.evaluate.grounded import grounded_checks

    systems = _read(evaluations)
    report: dict[str, Any] = {"grounded": {name: grounded_checks(rows) for name, rows in systems.items()}}
    if judges and out is not None:
        report |= _judged(
            systems,
            addresses,
            key_envs,
            out,
            prices_of=prices_of,
            max_cost=max_cost,
            seeds=seeds or 3,
            blind=blind,
            concurrency=concurrency or 8,
        )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(jsonable(report), indent=2, ensure_ascii=False)
        (out / "judge.json").write_text(text + "\n", encoding="utf-8")
    typer.echo(json.dumps(jsonable(report), indent=2, ensure_ascii=False) if form is Plain.json else _text(report))
    if judges and not any(found["n"] for found in report["judged"]["systems"].values()):
        typer.echo(f"no answer of a judge could be read; they stand in {out}/judgements.jsonl", err=True)
        raise typer.Exit(1)


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


def _prices(given: list[str], num_judges: int) -> list[tuple[float, float] | None]:
    """Of each judge; None where they are not known."""
    if given and len(given) not in (1, num_judges):
        raise typer.BadParameter(
            f"give one pair, or one for each of {num_judges} judges; got {len(given)}", param_hint="--prices"
        )
    pairs: list[tuple[float, float] | None] = []
    for text in given:
        try:
            prompt_price, completion_price = (float(word) for word in text.split(","))
        except ValueError:
            raise typer.BadParameter(
                f"must be two numbers such as 2.5,10, got {text!r}", param_hint="--prices"
            ) from None
        pairs.append((prompt_price, completion_price))
    return (pairs or [None]) * (num_judges if len(given) <= 1 else 1)


def _read(folders: list[Path]) -> dict[str, list[Row]]:
    from pondera.evaluate.predictions import read_predictions

    return {folder.as_posix(): read_predictions(folder / "predictions.parquet") for folder in folders}


def _judged(
    systems: dict[str, list[Row]],
    addresses: list[tuple[str, str]],
    key_envs: list[str],
    out: Path,
    *,
    prices_of: Sequence[tuple[float, float] | None],
    max_cost: float | None,
    seeds: int,
    blind: bool,
    concurrency: int,
) -> dict[str, Any]:
    from pondera import prompts
    from pondera.evaluate.judge import PROMPT, TEMPERATURE, judge_texts
    from pondera.evaluate.judge_summary import summarise_judgements
    from pondera.generate.chat import Budget, ChatClient

    budget = Budget(max_cost)
    judgements: list[Judgement] = []
    spending: dict[str, Any] = {}
    for (model, url), api_key_env, prices in zip(addresses, key_envs, prices_of, strict=True):
        client = ChatClient(url, model, api_key_env=api_key_env, concurrency=concurrency, prices=prices, budget=budget)
        show = progress(f"judged by {model}")
        log = out / "judgements.jsonl"
        judged = judge_texts(systems, client, log, seeds=range(seeds), with_facts=not blind, on_progress=show)
        judgements += judged.judgements
        spending[model] = judged.spending()
    protocol = {
        "judges": [model for model, _ in addresses],
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
