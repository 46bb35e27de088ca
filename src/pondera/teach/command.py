"""The teacher `command`: any program that reads one JSON line per request and writes one JSON line per answer.

The program is started once. For every completion it receives a line

    {"sample": id, "k": 0, "seed": 0, "kind": "image", "media": [{"path": ..., "role": "test"}], "text": null,
     "prompt": "..."}

and answers with `{"completion": "..."}`, optionally with `"usage": {"name": number}`. Labels are never sent. Its
stderr is the user's stderr. It should end when its input ends.
"""

from __future__ import annotations

import hashlib
import json
import math
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from pondera import prompts
from pondera.core.records import Sample
from pondera.errors import ConfigError, TeacherError
from pondera.generate.chat_reply import RequestNotes
from pondera.teach.base import TeacherResponse
from pondera.teach.question import question, tells_label

_SHOWN = 200  # characters of a bad line in an error


class CommandTeacher:
    """A teacher behind standard input and output.

    Args:
        command: program and arguments; run without a shell.
        prompt: name of the prompt whose text is sent; wording k is used for completion k. It must not tell the label.
        timeout_s: longest wait for one answer, > 0; the first one waits for the program's start as well.
        version: anything that the command line does not show but the answers depend on, such as a model's revision.

    Raises:
        ValueError: the command is empty or the time-out not positive.
        ConfigError: there is no such prompt, or it tells the label.
    """

    name = "command"

    def __init__(
        self, command: Sequence[str], *, prompt: str = "quality.expert", timeout_s: float = 300, version: str = ""
    ) -> None:
        if not command or timeout_s <= 0:
            raise ValueError(f"need a command and timeout_s > 0, got {list(command)} and {timeout_s}")
        self.command = list(command)
        self.prompt = prompts.get(prompt)
        if tells_label(self.prompt):
            raise ConfigError(
                f"prompt {prompt!r} tells the label, which a program is never sent; choose another prompt"
            )
        self.timeout_s = timeout_s
        self.version = version
        self.notes: Callable[[str, int], RequestNotes] | None = None

    @property
    def fingerprint(self) -> str:
        """Over the command line, the content of the files it names, the prompt and the version."""
        digest = hashlib.sha256(json.dumps([self.command, self.prompt.hash, self.version]).encode())
        for word in self.command[1:]:  # the interpreter itself is not the teacher
            if Path(word).is_file():
                digest.update(Path(word).read_bytes())
        return f"command-{digest.hexdigest()[:12]}"

    def respond(self, samples: Sequence[Sample], num: int, seed: int, *, first: int = 0) -> Iterator[TeacherResponse]:
        """Completions, one request at a time; see `respond_to`."""
        return self.respond_to([(sample, range(first, first + num)) for sample in samples], seed)

    def respond_to(self, wanted: Sequence[tuple[Sample, Sequence[int]]], seed: int) -> Iterator[TeacherResponse]:
        """Completions, one request at a time, from a program that is started once.

        Args:
            wanted: samples, each with the numbers k of its completions.
            seed: of the run.

        Raises:
            TeacherError: the program cannot be started, ends early, takes too long, or writes anything else.
        """
        fingerprint = self.fingerprint
        with _Dialogue(self.command, self.timeout_s) as dialogue:
            for sample, numbers in wanted:
                for k in numbers:
                    request = self._request(sample, k, seed)
                    if self.notes is not None:
                        self.notes(sample.id, k).sent(1)
                    answer = dialogue.ask(request)
                    text, usage = _checked(self.command, sample, answer)
                    yield TeacherResponse(sample.id, k, text, fingerprint, seed, usage)

    def _request(self, sample: Sample, k: int, seed: int) -> dict[str, Any]:
        return {
            "sample": sample.id,
            "k": k,
            "seed": seed,
            "kind": sample.kind,
            "media": [{"path": str(Path(media.path).resolve()), "role": media.role} for media in sample.media],
            "text": sample.text,
            "prompt": question(self.prompt, sample, k),
        }


class _Dialogue:
    """A running program and a thread that reads its lines, so that waiting for one can end."""

    def __init__(self, command: Sequence[str], timeout_s: float) -> None:
        self._command, self._timeout_s = command, timeout_s
        self._lines: queue.Queue[str | None] = queue.Queue()
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="replace"
            )
        except OSError as error:
            raise TeacherError(f"cannot start {command[0]!r}: {error.strerror}; check the command's spelling") from None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def __enter__(self) -> _Dialogue:
        return self

    def __exit__(self, *_: object) -> None:
        """Close its input and give it five seconds to end."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.close()
        except OSError:  # it ended before us; how is said where its answer was missed
            self._process.kill()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout=5)
        self._process.stdout.close()

    def ask(self, request: dict[str, Any]) -> str:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._lines.get(timeout=self._timeout_s)
        except queue.Empty:
            self._process.kill()
            raise TeacherError(
                f"{self._command[0]!r} did not answer about {request['sample']!r} within {self._timeout_s:g} s; "
                "raise the time-out (--timeout), or see its stderr"
            ) from None
        except OSError:
            line = None
        if line is None:
            code = self._process.wait()
            raise TeacherError(
                f"{self._command[0]!r} ended with exit code {code} before it answered about {request['sample']!r}; "
                "see its stderr"
            )
        return line

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            if line.strip():
                self._lines.put(line)
        self._lines.put(None)


def _checked(command: Sequence[str], sample: Sample, line: str) -> tuple[str, dict[str, float]]:
    try:
        answer = json.loads(line)
        usage = answer.get("usage", {})
        if not isinstance(answer["completion"], str) or set(answer) - {"completion", "usage"}:
            raise ValueError("a completion is text, and usage the only other key")
        numbers = {str(name): float(value) for name, value in usage.items()}
        if not all(0 <= number < math.inf for number in numbers.values()):
            raise ValueError("usage holds numbers that are finite and not negative")
        return answer["completion"], numbers
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TeacherError(
            f"{command[0]!r} answered about {sample.id!r} with {line.strip()[:_SHOWN]!r} ({error}); "
            'one JSON line {"completion": "..."} is expected'
        ) from None
