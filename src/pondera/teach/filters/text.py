"""How filters read words: texts in one plain spelling, and many phrases searched as few patterns."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_FRACTIONS = str.maketrans({"½": ".5", "¼": ".25", "¾": ".75", "’": "'", "‘": "'"})
_SPELT = re.compile(r"\b(?:[a-z][-.\s]){2,}[a-z]\b", re.I)
_INVISIBLE = {"Cf", "Me"}  # zero-width characters; the frame of a keycap
_VARIATION = "\ufe0f"  # says that a character is shown as a picture


def plain(text: str) -> str:
    """One spelling for full-width digits, fractions, typographic quotes, keycaps, invisible characters between letters,
    and words that are spelt letter by letter ("f-o-u-r").

    Args:
        text: any text; letter case is kept.
    """
    text = text.translate(_FRACTIONS)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).replace(_VARIATION, "")
        text = "".join(char for char in text if unicodedata.category(char) not in _INVISIBLE)
    return _SPELT.sub(lambda match: re.sub(r"[-.\s]", "", match.group()), text)


class Phrases:
    r"""Patterns of which any may be found in a text.

    Ignoring letter case, or asking each of many patterns for the edge of a word, costs more than all the rest, so texts
    are given in lower case, and patterns that begin at the edge of a word (`\b`) are tried there only.

    Args:
        patterns: regular expressions for text in lower case, each one phrase.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = tuple(patterns)
        at_edge = [pattern.removeprefix(r"\b") for pattern in patterns if pattern.startswith(r"\b")]
        others = [pattern for pattern in patterns if not pattern.startswith(r"\b")]
        joined = [rf"\b(?:{'|'.join(at_edge)})" if at_edge else "", "|".join(others)]
        self._compiled = tuple(re.compile(pattern, re.M) for pattern in joined if pattern)

    def find(self, lower_text: str) -> str | None:
        """The first phrase found, None without one."""
        found = (pattern.search(lower_text) for pattern in self._compiled)
        return next((match.group().strip() for match in found if match), None)

    def blank(self, lower_text: str) -> str:
        """The text with every phrase replaced by a mark that no pattern knows."""
        for pattern in self._compiled:
            lower_text = pattern.sub(" _ ", lower_text)
        return lower_text
