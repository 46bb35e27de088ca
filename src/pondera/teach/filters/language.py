"""The language filter: is the thought in English?

A light detector of our own, enough to drop thoughts that a teacher wrote in another language or that change language
midway. It looks at scripts, and in Latin script at function words of nine languages, sentence by sentence. It does not
tell apart languages that it has no words for; those count as foreign when they have letters that English lacks and no
English function word. Short English without function words passes.
"""

from __future__ import annotations

import re
import unicodedata

from pondera.teach.filters.base import Candidate, Filter

_FOREIGN_SHARE = 0.1  # of letters outside Latin script: a quoted name is less
_LONG_ENOUGH = 6  # words from which missing English function words say something


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ENGLISH = _words(
    "the an and or but of to in on at by for with from as is are was were be been it its this that these "
    "those there not no so than then which while because if all some most very too more less only both each "
    "every has have had does do can may would could should he she they his her their we you my your what "
    "who where when how into over under behind between without within about"
)
# Words that are English words too, such as "die", "was", "son" or "met", are left out.
_FOREIGN: dict[str, frozenset[str]] = {
    "German": _words("der das und ist nicht ein eine einen sind mit auf für von dem den aber sehr auch stark"),
    "French": _words("le la les est et une un des du dans pas mais très avec sur qui sont l'image reste"),
    "Spanish": _words("el la los las es está y una un del pero muy con en que por tiene son imagen"),
    "Italian": _words("il lo gli è una un della nel ma molto con che per sono e di l'immagine"),
    "Portuguese": _words("o os as é está uma um da na mas muito com em que não são e imagem tem"),
    "Dutch": _words("het een en niet zijn op voor maar zeer ook veel heeft beeld de lucht"),
    "Polish": _words("jest są nie się ale jak oraz przez dla bardzo obraz i w na z"),
    "Turkish": _words("ve bir çok var ama için ile değil daha görüntü renkler"),
    "Swedish": _words("och är inte ett det som på men mycket av bilden för med en"),
}
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|«[^»]*»|(?<!\w)['‘][^'’]{1,80}['’](?!\w)")


def language_filter() -> Filter:
    """Drops thoughts that are not in English, or not all of it; what stands in quotation marks does not count."""

    def check(candidate: Candidate) -> str | None:
        found = foreign_language(candidate.think)
        return None if found is None else f"{found} text"

    return Filter("language", "the thought is not in English", lambda: check)


def foreign_language(text: str) -> str | None:
    """The language or script that a text is written in where that is not English, None otherwise.

    Args:
        text: any text; passages in quotation marks are left out.
    """
    text = _QUOTED.sub(" ", text)
    letters = [char for char in text if char.isalpha()]
    others = [char for char in letters if not unicodedata.name(char, "").startswith(("LATIN", "FULLWIDTH LATIN"))]
    if len(others) > _FOREIGN_SHARE * len(letters):
        return unicodedata.name(others[0]).split()[0].split("-")[0].capitalize()
    for sentence in (text, *re.split(r"[.!?]\s", text)):
        if (found := _latin_language(sentence)) is not None:
            return found
    return None


def _latin_language(text: str) -> str | None:
    words = re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", text.lower())
    if len(words) < _LONG_ENOUGH:
        return None
    english = sum(word in _ENGLISH for word in words)
    counts = {name: sum(word in stops for word in words) for name, stops in _FOREIGN.items()}
    best = max(counts, key=lambda name: counts[name])
    if counts[best] >= 2 and counts[best] > english:
        return best
    has_foreign_letters = sum(not char.isascii() for word in words for char in word) >= 2
    return "foreign" if english == 0 and has_foreign_letters else None
