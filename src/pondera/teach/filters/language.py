"""The language filter: is the thought in English?

A light detector of our own, enough to drop thoughts that a teacher wrote in another language or that change language
midway. It looks at scripts, and in Latin script at function words of some languages, sentence by sentence. Languages
that it has no words for count as foreign where hardly a word is English: neither a function word nor one of those that
pictures are described with. Short texts pass.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from pondera.teach.filters.base import Candidate, Filter

_FOREIGN_SHARE = 0.1  # of letters outside Latin script: a quoted name is less
_LONG_ENOUGH = 6  # words from which missing English function words say something
_CERTAINLY_LONG = 12  # words from which English in plain letters shows
_ENGLISH_SHARE = (
    0.2  # English text has 0.4 and more of the words known here; telegrams about pictures have 0.3 and more
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ENGLISH = _words(
    "the an and or but of to in on at by for with from as is are was were be been it its this that these "
    "those there not no so than then which while because if all some most very too more less only both each "
    "every has have had does do can may would could should he she they his her their we you my your what "
    "who where when how into over under behind between without within about any other another several various many "
    "such "
    "also however though although one i a don't can't isn't aren't doesn't it's there's i'm against around across "
    "along near next towards during like out off up down per via"
)
_OF_PICTURES = _words(
    "image picture photo photograph shot scene frame video clip view subject object foreground background centre "
    "center "
    "left right top bottom corner edge edges border light lighting lights shadow shadows highlight highlights dark "
    "bright "
    "colour colours color colors hue hues tone tones tint cast saturation saturated vivid pale natural warm cool "
    "red green "
    "blue yellow orange black white grey gray sharp sharpness soft softness blur blurred blurry focus crisp clear "
    "clarity "
    "detail details texture textures fine coarse smooth rough clean noise noisy grain grainy compression artefacts "
    "artifacts blocks blocking blocky banding bands ringing exposure exposed overexposed underexposed contrast haze "
    "hazy "
    "motion shake camera lens quality good bad poor fair excellent strong weak slight slightly heavy heavily mild "
    "severe "
    "low high little visible lost missing defect defects worst aspect overall composition sky sea water tree trees "
    "grass "
    "house wall street face skin hair eye eyes hand hands person people man woman child dog cat bird flower flowers "
    "car "
    "boat mountain mountains snow sun evening morning night day"
)
_KNOWN = _ENGLISH | _OF_PICTURES
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
    "Danish": _words("og er ikke et det som på meget af billedet med en den"),
    "Norwegian": _words("og er ikke et det som på veldig av bildet med en den"),
    "Indonesian": _words("yang dan di dengan ini itu tidak untuk pada dari tetapi gambar sangat"),
    "Romanian": _words("și este nu un o în cu dar foarte imaginea sunt pe din"),
    "Czech": _words("je se na v ale jsou velmi obraz není jako obrázek"),
    "Hungarian": _words("és az nem egy de nagyon kép hogy"),
    "Finnish": _words("ja ei mutta kuva hyvin kuin ovat se myös"),
}
_LANGUAGES_OF = {
    word: tuple(name for name, words in _FOREIGN.items() if word in words)
    for word in frozenset().union(*_FOREIGN.values())
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
    if (script := _other_script(text)) is not None:
        return script
    found = (_known_language(_words_of(sentence)) for sentence in (text, *re.split(r"[.!?]\s", text)))
    return next((name for name in found if name), None) or _unknown_language(_words_of(text))


def _other_script(text: str) -> str | None:
    if text.isascii():
        return None
    letters = [char for char in text if char.isalpha()]
    others = [char for char in letters if not unicodedata.name(char, "").startswith(("LATIN", "FULLWIDTH LATIN"))]
    if len(others) <= _FOREIGN_SHARE * len(letters):
        return None
    return unicodedata.name(others[0]).split()[0].split("-")[0].capitalize()


def _words_of(text: str) -> list[str]:
    # Whole words only: the letters within "12e5" are none.
    return re.findall(r"(?<!\w)[^\W\d_]+(?:['’][^\W\d_]+)?(?!\w)", text.lower())


def _known_language(words: list[str]) -> str | None:
    if len(words) < _LONG_ENOUGH:
        return None
    english = sum(map(_ENGLISH.__contains__, words))
    counts = Counter(name for word in words for name in _LANGUAGES_OF.get(word, ()))
    best, count = max(counts.items(), key=lambda pair: pair[1], default=("", 0))
    if count >= 2 and count > english:
        return best
    num_foreign_letters = 0 if english else sum(not char.isascii() for word in words for char in word)
    return "foreign" if num_foreign_letters >= 2 else None


def _unknown_language(words: list[str]) -> str | None:
    if len(words) < _CERTAINLY_LONG:
        return None
    known = sum(map(_KNOWN.__contains__, words))
    return "foreign" if known < _ENGLISH_SHARE * len(words) else None
