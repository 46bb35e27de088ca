"""Description quality by judge models: accuracy, reasonableness and completeness of what a system wrote about images.

A judge sees one image and one text at a time, not the name of the system, so that no text gains from its place beside
others and numbers stay comparable between reports. The order of all requests is shuffled (a service that changes in
the middle sides with nobody), the order of the criteria and the wording change with the seed. A judgement that cannot
be read is counted and left out, never replaced. Whatever a service answered is recorded before it is read.

The three criteria and their grades 0 to 2 follow the proposal in our design; Q-Ponder's own judge, prompt and scale
are not published. A judge that is kin to the teacher favours it: use two of different families and look at agreement.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pondera import prompts
from pondera.data.distortions import DISTORTIONS
from pondera.errors import MediaError
from pondera.evaluate.predictions import Row
from pondera.generate.chat_images import data_url
from pondera.generate.chat_reply import ChatRequest
from pondera.generate.recorded import Answers, Client, ask_recorded

CRITERIA: dict[str, str] = {
    "accuracy": "accuracy (is what the text claims really to be seen? 2: all of it, 1: most, 0: something important is "
    "wrong or invented)",
    "reasonableness": "reasonableness (do the reasons lead to the score? 2: yes, 1: in part, 0: they contradict it or "
    "there are none)",
    "completeness": "completeness (does it name the defects or merits that weigh most? 2: all, 1: some, 0: it misses "
    "the main one)",
}
PROMPT = "judge.description"

TEMPERATURE = 0.3
"""Of judges; 0 would make seeds alike but for wording and order."""

_MAX_TOKENS = 768


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one judge said about one text.

    Args:
        judge: name of the model.
        system: whose text.
        dataset: of the sample.
        sample: its id.
        content: its content, for intervals.
        seed: of the judgement.
        scores: 0 to 2 by criterion; empty when there is none.
        error: why there is none; None when there is one.
    """

    judge: str
    system: str
    dataset: str
    sample: str
    content: str
    seed: int
    scores: Mapping[str, float]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Task:
    system: str
    row: Row
    seed: int
    text: str
    key: str


@dataclass(frozen=True)
class Judged:
    """What one judge said about all texts.

    Args:
        judgements: in the order of systems, rows and seeds.
        answers: what was asked for them, and what it cost.
    """

    judgements: list[Judgement]
    answers: Answers

    def spending(self) -> dict[str, Any]:
        """Requests and what they used, for reports; texts that are alike share an answer."""
        asked = {"answers": len(self.answers.found), "new": self.answers.num_asked - len(self.answers.failed)}
        counts = self.answers.counts
        return {**asked, **counts.to_dict(), "usage": dict(self.answers.usage), "unusable": dict(counts.unusable)}


def judge_texts(
    systems: Mapping[str, Sequence[Row]],
    client: Client,
    log: str | Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    temperature: float = TEMPERATURE,
    with_facts: bool = True,
    max_pixels: int = 1_000_000,
    on_progress: Callable[[int, int], None] | None = None,
) -> Judged:
    """Ask one judge about every text of every system.

    Args:
        systems: predictions by name of the system; rows without reasoning or score are left out.
        client: a chat client of the judge.
        log: JSONL file of recorded answers; what stands there is not asked again. Requests are noted in the journal
            beside it.
        seeds: one judgement of each text per seed.
        temperature: of the judge.
        with_facts: tell the judge the label and the known distortions, where there are any.
        max_pixels: larger images are sent scaled down.
        on_progress: called with (answers there, answers wanted).

    Returns:
        A request that failed for good is a judgement with an error, which is not recorded: the next run asks again.

    Raises:
        TeacherError: the service refuses everything, a limit is reached, or the log is damaged or another run's. What
            was answered is recorded.
        MediaError: an image cannot be read.
    """
    tasks = _tasks(systems, client.model, seeds, temperature, with_facts, max_pixels)
    task_of = {task.key: task for task in tasks}
    keys = list(task_of)
    random.Random(f"{client.model}/{sorted(seeds)}").shuffle(keys)
    answers = ask_recorded(
        client, keys, lambda key: _request(task_of[key], temperature, max_pixels), Path(log), on_progress
    )
    return Judged([_judgement(task, client.model, answers) for task in tasks], answers)


def _tasks(
    systems: Mapping[str, Sequence[Row]],
    judge: str,
    seeds: Sequence[int],
    temperature: float,
    with_facts: bool,
    max_pixels: int,
) -> list[_Task]:
    digest_of: dict[str, str] = {}
    tasks = []
    for system, rows in systems.items():
        for row in rows:
            if not row["reasoning"] or not row["valid"]:
                continue
            path = row["path"]
            if path not in digest_of:
                digest_of[path] = _digest(path)
            for seed in seeds:
                text = _question(row, seed, with_facts)
                # All that is sent, and nothing else: a folder that moved is not paid for again, a changed image is.
                content = [judge, digest_of[path], text, seed, temperature, max_pixels, prompts.get(PROMPT).hash]
                key = hashlib.sha256(json.dumps(content).encode()).hexdigest()
                tasks.append(_Task(system, row, seed, text, key))
    return tasks


def _digest(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(
            f"{path}: {error.strerror}; judges are shown the images: put it back, or evaluate again where it is now"
        ) from None


def _question(row: Row, seed: int, with_facts: bool) -> str:
    order = list(CRITERIA)
    # Not by system: every system is judged with the same words.
    random.Random(f"{row['dataset']}/{row['sample']}/{seed}").shuffle(order)
    score = f"{row['score']:.2f} on a scale from {row['scale_low']:g} (worst) to {row['scale_high']:g} (best)"
    return prompts.get(PROMPT).render(
        seed=seed,
        description=row["reasoning"].replace('"', "'"),  # a quotation mark would end the quotation
        score=score,
        facts=_facts(row) if with_facts else "",
        criteria="; ".join(CRITERIA[name] for name in order) + ".",
    )


def _facts(row: Row) -> str:
    """What is known about the image, in words; "" where nothing is."""
    known = []
    if not math.isnan(row["mos"]):
        known.append(f"people, or a measurement in their place, gave the image {row['mos']:.2f} on the same scale")
    for distortion in row["distortions"]:
        kind = DISTORTIONS.get(distortion["type"])
        aspect = f", which harms {kind.aspect}" if kind is not None else ""
        place = " in a part of it" if distortion.get("box") else ""
        name = distortion["type"].replace("_", " ")
        known.append(f"it was damaged by {name} of level {distortion['level']} of 5{place}{aspect}")
    return f" Known to you, not to the writer: {'; '.join(known)}." if known else ""


def _request(task: _Task, temperature: float, max_pixels: int) -> ChatRequest:
    image = {"type": "image_url", "image_url": {"url": data_url(task.row["path"], max_pixels)}}
    messages = [{"role": "user", "content": [image, {"type": "text", "text": task.text}]}]
    return ChatRequest(task.key, messages, temperature=temperature, max_tokens=_MAX_TOKENS, seed=task.seed)


def _judgement(task: _Task, judge: str, answers: Answers) -> Judgement:
    row = task.row
    place = (judge, task.system, row["dataset"], row["sample"], row["reference"] or row["sample"], task.seed)
    if task.key not in answers.found:
        return Judgement(*place, {}, answers.failed.get(task.key, "no reply"))
    answer = prompts.get(PROMPT).answer.parse(answers.found[task.key].text)
    return Judgement(*place, dict(answer.fields) if answer.is_valid else {}, answer.error)
