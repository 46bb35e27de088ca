"""What second views do to a completion's text and tokens: numbers masked, the label written over the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pondera.models.family import Family
from pondera.models.packing import Branch

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_ANSWER = "<answer>"
_MASK = "#"


def masked_numbers(text: str) -> str:
    """Every number written as #. Numbers in words stay: "one" is more often a pronoun than a score."""
    return _NUMBER.sub(_MASK, text)


def masked_thought(text: str) -> str | None:
    """A completion up to its answer, numbers masked; None where there is no answer or no thought."""
    before, mark, _ = text.partition(_ANSWER)
    return masked_numbers(before) if mark and before.strip() else None


def answer_number(text: str) -> int | None:
    """Where the last number of a completion's answer begins; None where there is none."""
    before, mark, after = text.partition(_ANSWER)
    numbers = list(_NUMBER.finditer(after.partition("</answer>")[0]))
    return len(before) + len(mark) + numbers[-1].start() if numbers else None


def ids_before(family: Family, ids: Sequence[int], text: str) -> tuple[int, ...]:
    """Tokens that read exactly as `text`, as many of them as possible those of a completion that begins so.

    A token that reaches over the end of `text` is replaced: `>3` becomes `>`.
    """
    low, high = 0, len(ids)
    while low < high:  # the longest prefix of the ids that is a prefix of the text
        middle = (low + high + 1) // 2
        if text.startswith(family.decode(ids[:middle])):
            low = middle
        else:
            high = middle - 1
    rest = text[len(family.decode(ids[:low])) :]
    return (*ids[:low], *family.encode_text(rest))


def label_branch(family: Family, before: Sequence[int], label: str) -> Branch:
    """A branch that ends with the first decimal of a label, scored on that token alone.

    Args:
        family: for its tokenizer. Where it joins digits, the token that holds the first decimal counts.
        before: tokens up to the number.
        label: such as "3.40".

    Raises:
        ValueError: the label has no decimal.
    """
    if not re.fullmatch(r"\d+\.\d+", label):
        raise ValueError(f"a label needs digits, a point and decimals, got {label!r}")
    ids = family.encode_text(label)
    decimal = label.index(".") + 1
    last = next(n for n in range(1, len(ids) + 1) if len(family.decode(ids[:n])) > decimal)
    return Branch((*before, *ids[:last]), (0.0,) * (len(before) + last - 1) + (1.0,))
