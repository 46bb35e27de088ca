"""The response log: every response on its own line, written before anything else happens to it.

Lines are keyed by what a response depends on (sample, media, teacher, k, seed), so that work already paid for is found
again whatever else changed, and never asked for twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pondera.errors import TeacherError
from pondera.generate.record_files import whole_lines
from pondera.teach.base import TeacherResponse

_FIELDS = {f.name for f in fields(TeacherResponse)}


def response_key(sample: str, media: str, teacher: str, k: int, seed: int) -> str:
    """The address of a response: 32 hex digits.

    Args:
        sample: id of the sample.
        media: `digest_sample` of the sample.
        teacher: fingerprint.
        k: which completion.
        seed: of the run.
    """
    return hashlib.sha256(json.dumps([sample, media, teacher, k, seed]).encode()).hexdigest()[:32]


def read_log(path: Path) -> dict[str, TeacherResponse]:
    """All responses of a log by key; of equal keys the first counts. A missing log is empty.

    Raises:
        TeacherError: a complete line is not a response (named by file and line).
    """
    found: dict[str, TeacherResponse] = {}
    for number, line in whole_lines(path):
        key, response = _parse_line(path, number, line)
        found.setdefault(key, response)
    return found


def logged(key: str, response: TeacherResponse) -> dict[str, Any]:
    """The record of a response under its key, for `LineWriter.add`."""
    return {"key": key, **response.to_dict()}


def _parse_line(path: Path, number: int, line: bytes) -> tuple[str, TeacherResponse]:
    try:
        content: Mapping[str, Any] = json.loads(line)
        if set(content) != _FIELDS | {"key"}:
            raise ValueError(f"keys {sorted(content)}")
        return content["key"], TeacherResponse(**{name: content[name] for name in _FIELDS})
    except (ValueError, TypeError) as error:
        raise TeacherError(f"{path}:{number}: not a recorded response ({error}); restore or delete this line") from None
