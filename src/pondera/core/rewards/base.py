"""What a reward term is, and the registry that finds one by name.

A term is a frozen dataclass: its fields are its parameters. Called on a pool it returns [S, K] values. A new term is
a class with five lines of description and one method:

    @register
    @dataclass(frozen=True)
    class Brevity(Term):
        name = "brevity"
        formula = "1 if tokens < limit else 0"
        source = "own design"
        range = "0 or 1"
        limit: int = 200

        def __call__(self, pool: Pool) -> FloatArray:
            return np.where(readable(pool) & (pool.num_tokens_SK < self.limit), 1.0, 0.0)

Shape letters: S samples in a pool, K completions per sample.
"""

from __future__ import annotations

import difflib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from importlib.metadata import entry_points
from typing import Any, ClassVar, Literal, TypeVar, get_args

import numpy as np

from pondera.core.pool import BoolArray, Pool
from pondera.core.records import FloatArray
from pondera.errors import ConfigError

Branch = Literal["format", "response", "preference", "other"]

# What a rank term gives to every readable roll-out that has nothing to be compared with: half of the term's maximum.
# Being constant in a group it moves no advantage among the readable ones, and it keeps them above the floor.
NO_COMPARISON = 0.5

ENTRY_POINTS = "pondera.rewards"

# Side arrays that built-in terms and advantages use, and what supplies each.
SIDE_ARRAYS: Mapping[str, str] = {
    "text_score": "the score that the reference model reads from the reasoning alone (text-only pass, numbers masked)",
    "p_think": "probability of the true first decimal after the thought (forward pass with the label's digits)",
    "p_nothink": "probability of the true first decimal without a thought (forward pass with the label's digits)",
    "perturbed_reward": "reward of the completions for shuffled frames (second generation; NaN where there is none)",
    "perturbed_rank_reward": "rank reward of the completions for perturbed frames (second generation)",
    "perturbed_score_reward": "score reward of the completions for perturbed frames (second generation)",
    "caption_kl": "divergence between the caption-conditioned and the image-conditioned policy (second forward pass)",
}


class Term(ABC):
    """One named part of a reward: a pure function of a pool.

    Class attributes:
        name: registry name.
        formula: the arithmetic in plain text.
        source: paper or code, with every deviation from it.
        range: smallest and largest value of a readable roll-out.
        defect: what is wrong with the released form, and which parameter brings it back; "" when nothing is known.
        branch: where it counts when advantages are normalised per branch.
        needs_side: names of the side arrays it reads; terms with inner terms set it per instance.
        floor: value of cells that are invalid or not present.
        min_samples: samples from which there is something to compare; below, the term is constant in a group.
        min_group: valid completions of a group from which there is something to compare.
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    source: ClassVar[str]
    range: ClassVar[str]
    defect: ClassVar[str] = ""
    branch: ClassVar[Branch] = "other"
    needs_side: ClassVar[tuple[str, ...]] = ()
    floor: ClassVar[float] = 0.0
    min_samples: ClassVar[int] = 1
    min_group: ClassVar[int] = 1

    @abstractmethod
    def __call__(self, pool: Pool) -> FloatArray:
        """The value of every roll-out.

        Args:
            pool: the roll-outs of one dataset in the global batch.

        Returns:
            Values [S, K]; `floor` where a completion is invalid or not present.

        Raises:
            ValueError: a side array or label that the term needs is missing.
        """

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """Parameters and their defaults, in order; `dataclasses.MISSING` where there is no default."""
        if not is_dataclass(cls):
            return {}
        return {
            f.name: f.default_factory() if f.default_factory is not MISSING else f.default
            for f in fields(cls)
            if f.init
        }

    def side(self, pool: Pool, name: str) -> FloatArray:
        """A side array of the pool, [S, K].

        Raises:
            ValueError: the pool has no such array; the message says what supplies it.
        """
        if name not in pool.side:
            supplier = SIDE_ARRAYS.get(name, "the training engine, or a `side` entry of each logged line")
            raise ValueError(f"reward term {self.name!r} needs the side array {name!r}: {supplier}; the pool has none")
        return pool.side[name]


TermType = TypeVar("TermType", bound=type[Term])

_REGISTRY: dict[str, type[Term]] = {}
_loaded_entry_points: set[str] = set()


def register(term: TermType) -> TermType:
    """Add a term class to the registry (decorator; outermost, above `@dataclass(frozen=True)`).

    Raises:
        ValueError: the class is not a described frozen dataclass, or another class has its name.
    """
    if not is_dataclass(term) or inspect.isabstract(term):
        raise ValueError(f"{term.__qualname__} must be a frozen dataclass with a __call__")
    for attribute in ("name", "formula", "source", "range"):
        if not isinstance(getattr(term, attribute, None), str) or not getattr(term, attribute):
            raise ValueError(f"{term.__qualname__} needs the class attribute {attribute!r} (text)")
    if term.branch not in get_args(Branch):
        raise ValueError(
            f"{term.__qualname__}.branch must be one of {', '.join(get_args(Branch))}, got {term.branch!r}"
        )
    known = _REGISTRY.get(term.name)
    if known is not None and known is not term:
        raise ValueError(
            f"reward term {term.name!r} exists already ({known.__module__}.{known.__qualname__}); choose another name"
        )
    _REGISTRY[term.name] = term
    return term


def get_term(name: str) -> type[Term]:
    """The term class of this name; entry points are asked when it is not built in.

    Raises:
        ConfigError: there is none; the message suggests the nearest names.
    """
    if name not in _REGISTRY:
        _load_entry_points()
    if name not in _REGISTRY:
        raise ConfigError(f"no reward term is called {name!r}{_suggest(name, _REGISTRY)}")
    return _REGISTRY[name]


def make_term(name: str, **params: Any) -> Term:
    """Build a term from plain data: lists become tuples, `{"name": ..., ...}` becomes an inner term.

    Raises:
        ConfigError: no such term, or no such parameter.
        ValueError: a parameter has a value that the term refuses.
    """
    term = get_term(name)
    known = term.parameters()
    for key in params:
        if key not in known:
            raise ConfigError(f"reward term {name!r} has no parameter {key!r}{_suggest(key, known)}")
    return term(**{key: _from_plain(value) for key, value in params.items()})


def all_terms() -> dict[str, type[Term]]:
    """Every registered term by name, sorted; third-party ones included."""
    _load_entry_points()
    return dict(sorted(_REGISTRY.items()))


def readable(pool: Pool) -> BoolArray:
    """Cells that hold a completion with a valid answer, [S, K]."""
    return pool.valid_SK & pool.present_SK


def scored(pool: Pool) -> BoolArray:
    """Readable cells that hold a finite score, [S, K]."""
    return readable(pool) & np.isfinite(pool.score_SK)


def labelled(pool: Pool) -> BoolArray:
    """Scored cells of samples that have a MOS, [S, K]: the only ones that enter statistics and pairings.

    Roll-outs of samples without a MOS earn the floor; a mixture of tasks in a pool is therefore no error here.
    """
    return scored(pool) & np.isfinite(pool.mos_S)[:, None]


def positive(term: Term, **values: float) -> None:
    """Refuse parameters that are not finite and > 0.

    Raises:
        ValueError: names the term, the parameter and its value.
    """
    for key, value in values.items():
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{term.name}.{key} must be a finite number > 0, got {value}")


def not_negative(term: Term, **values: float) -> None:
    """Refuse parameters that are not finite and >= 0.

    Raises:
        ValueError: names the term, the parameter and its value.
    """
    for key, value in values.items():
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(f"{term.name}.{key} must be a finite number >= 0, got {value}")


def one_of(term: Term, key: str, allowed: Any) -> None:
    """Refuse a field whose value is not in a Literal type.

    Raises:
        ValueError: names the term, the parameter, its value and the choices.
    """
    value = getattr(term, key)
    if value not in get_args(allowed):
        raise ValueError(f"{term.name}.{key} must be one of {', '.join(map(repr, get_args(allowed)))}, got {value!r}")


def needs_of(term: Term, *inner: Term | None, side: tuple[str, ...] = ()) -> None:
    """Give a term with inner terms or a free side name its own `needs_side` (frozen: set once, at construction)."""
    names = [*side, *(name for t in inner if t is not None for name in t.needs_side)]
    object.__setattr__(term, "needs_side", tuple(dict.fromkeys(names)))


def _from_plain(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_from_plain(item) for item in value)
    if isinstance(value, Mapping) and "name" in value:
        return make_term(**value)
    return value


def _suggest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    return f"; did you mean {', '.join(close)}?" if close else f"; known are {', '.join(sorted(known))}"


def _load_entry_points() -> None:
    """Import third-party terms once; a term that does not load stops with its own name, not a bare traceback."""
    for point in entry_points(group=ENTRY_POINTS):
        if point.value in _loaded_entry_points:
            continue
        try:
            term = point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"reward term {point.name!r} ({point.value}) cannot be imported: {error}") from error
        if not (isinstance(term, type) and issubclass(term, Term)) or term.name != point.name:
            raise ConfigError(
                f"entry point {point.name!r} ({point.value}) must name a Term class called {point.name!r}"
            )
        register(term)
        _loaded_entry_points.add(point.value)
