"""Second opinions: a model reads each thought beside its score, without the image, and says whether they agree.

The lexicon of `teach.filters.contradictions` sees what is said in its words only; a model reads the rest. It is asked
about what every other filter let pass, because it costs. Answers are recorded under a hash of model, prompt and text
before they are read, with what they cost, so the same thought is never asked about twice, in this run or another.
Requests that failed and answers that cannot be read are counted and drop nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pondera import prompts
from pondera.core.answers import Numbers
from pondera.errors import ConfigError
from pondera.generate.chat import ChatClient, ChatRequest
from pondera.generate.recorded import ask_recorded
from pondera.teach.filters import Candidate

PROMPT = "judge.contradiction"
_MAX_TOKENS = 256


@dataclass(frozen=True)
class Opinions:
    """What somebody else thinks of some completions.

    Args:
        contradictory: (sample, k) of those found contradictory.
        num_asked: requests of this run; what is recorded is not asked again.
        num_unreadable: answers that are none.
        num_missing: requests without a reply; another run asks again.
        usage: totals over the answers, those of earlier runs included.
    """

    contradictory: frozenset[tuple[str, int]]
    num_asked: int
    num_unreadable: int
    num_missing: int
    usage: Mapping[str, float] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """For reports."""
        return {"asked": self.num_asked, "unreadable": self.num_unreadable, "missing": self.num_missing}

    def contradicts(self, candidate: Candidate) -> bool:
        """For `second_opinion_filter`."""
        return (candidate.sample.id, candidate.k) in self.contradictory


class SecondOpinion:
    """A model behind a chat service that is asked about contradictions.

    Args:
        client: the model, its address and limits.
    """

    def __init__(self, client: ChatClient) -> None:
        self.client = client
        self.prompt = prompts.get(PROMPT)

    def ask(
        self,
        candidates: Sequence[Candidate],
        body: Numbers,
        log: Path,
        on_start: Callable[[list[str]], None] | None = None,
    ) -> Opinions:
        """Opinions on candidates; those without a thought have nothing to be contradicted.

        Args:
            candidates: parsed and valid.
            body: the form of their answers, for the scale.
            log: JSONL file of recorded answers; requests are noted in the journal beside it.
            on_start: called with the keys of all answers that are wanted, before a request goes out.

        Raises:
            TeacherError: the service refuses everything, a limit is reached, or the log is damaged or another run's.
                What was answered is recorded.
        """
        questions = {(c.sample.id, c.k): self._question(c, body) for c in candidates if c.think}
        keys = {pair: self._key(text) for pair, text in questions.items()}
        text_of = {keys[pair]: text for pair, text in questions.items()}
        if on_start is not None:
            on_start(list(text_of))
        answers = ask_recorded(self.client, text_of, lambda key: _request(key, text_of[key]), log)
        verdicts = {key: self.prompt.answer.parse(answer.text) for key, answer in answers.found.items()}
        contradictory = {key for key, answer in verdicts.items() if answer.fields.get("verdict") == "contradictory"}
        return Opinions(
            frozenset(pair for pair, key in keys.items() if key in contradictory),
            num_asked=answers.num_asked,
            num_unreadable=sum(not answer.is_valid for answer in verdicts.values()),
            num_missing=len(text_of) - len(verdicts),
            usage=answers.usage,
        )

    def _question(self, candidate: Candidate, body: Numbers) -> str:
        return self.prompt.render(
            low=f"{body.low:g}",
            high=f"{body.high:g}",
            thought=candidate.think.replace('"', "'"),  # a quotation mark would end the quotation
            score=f"{candidate.answer.score:.2f}",
        )

    def _key(self, text: str) -> str:
        return hashlib.sha256(json.dumps([self.client.model, self.prompt.hash, text]).encode()).hexdigest()


def _request(key: str, text: str) -> ChatRequest:
    messages = [{"role": "user", "content": text}]
    return ChatRequest(key, messages, temperature=0.0, max_tokens=_MAX_TOKENS, seed=0)


def numbers_of(body: object) -> Numbers:
    """The body, where answers are numbers.

    Raises:
        ConfigError: they are something else, and an opinion on a score has none to look at.
    """
    if not isinstance(body, Numbers):
        raise ConfigError("a second opinion compares thoughts with scores; this prompt's answers are no numbers")
    return body
