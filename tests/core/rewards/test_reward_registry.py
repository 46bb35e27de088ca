"""The registry: names, typos, plain parameters, third-party terms; and every refusal of a parameter."""

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from pondera.core.rewards import Gaussian, LengthBonus, Term, all_terms, base, get_term, make_term, register
from pondera.errors import ConfigError

from .pools import pool_of


@dataclass(frozen=True)
class Flat(Term):
    """A third-party term."""

    name = "flat"
    formula = "height"
    source = "test"
    range = "height"

    height: float = 1.0

    def __call__(self, pool):
        return np.where(base.readable(pool), self.height, 0.0)


@pytest.fixture
def own_registry(monkeypatch):
    monkeypatch.setattr(base, "_REGISTRY", dict(base._REGISTRY))
    monkeypatch.setattr(base, "_loaded_entry_points", set())


def test_every_term_describes_itself():
    for name, term in all_terms().items():
        assert term.name == name
        assert term.formula and term.source and term.range and term.__doc__
        assert term() == term()


def test_a_typo_is_answered_with_a_suggestion():
    with pytest.raises(ConfigError, match="'gausian'; did you mean gaussian"):
        get_term("gausian")
    with pytest.raises(ConfigError, match="no parameter 'sigm'; did you mean sigma"):
        make_term("gaussian", sigm=1.0)
    with pytest.raises(ConfigError, match="known are"):
        get_term("zzzz")


def test_terms_are_made_from_plain_data():
    assert make_term("gaussian", sigma=0.2) == Gaussian(sigma=0.2)
    made = make_term("length_bonus", kernel={"name": "laplace", "clamp": [1.0, 5.0]})
    assert made.kernel == make_term("laplace", clamp=(1.0, 5.0))
    assert isinstance(made, LengthBonus)
    assert get_term("gaussian").parameters() == {"sigma": 0.5, "offset": 0.0, "decimals": None}


def test_rank_terms_say_how_much_they_need():
    need = {name: (term.min_samples, term.min_group) for name, term in all_terms().items()}
    assert need["preference_triplet"] == (3, 1)
    assert need["response_balance"] == (1, 3)
    assert {need[name] for name in ("fidelity", "margin", "binary_pair", "score_and_rank", "level_rank")} == {(2, 1)}


def test_a_second_term_of_one_name_is_refused(own_registry):
    register(Flat)
    assert register(Flat) is Flat
    other = type("Other", (Flat,), {})
    with pytest.raises(ValueError, match="'flat' exists already"):
        register(dataclass(frozen=True)(other))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"formula": ""}, "'formula'"), ({"branch": "x"}, "branch must be one of"), ({"name": 3}, "'name'")],
)
def test_an_undescribed_term_is_refused(own_registry, change, message):
    with pytest.raises(ValueError, match=message):
        register(dataclass(frozen=True)(type("Bad", (Flat,), change)))


def test_a_class_that_is_no_dataclass_is_refused(own_registry):
    plain = type("Plain", (Term,), {"name": "plain", "formula": "f", "source": "s", "range": "r"})
    with pytest.raises(ValueError, match="must be a frozen dataclass"):
        register(plain)


def entry(name, value, monkeypatch):
    point = EntryPoint(name=name, value=value, group=base.ENTRY_POINTS)
    monkeypatch.setattr(base, "entry_points", lambda group: [point])


def test_third_party_terms_come_from_entry_points(own_registry, monkeypatch):
    entry("flat", f"{__name__}:Flat", monkeypatch)
    term = make_term("flat", height=2.0)
    assert term(pool_of([[3.0, None]], [3.0])).tolist() == [[2.0, 0.0]]
    assert "flat" in all_terms()


@pytest.mark.parametrize("value", ["no_such_module:Flat", f"{__name__}:Missing"])
def test_a_third_party_term_that_does_not_load_is_named(own_registry, monkeypatch, value):
    entry("flat", value, monkeypatch)
    with pytest.raises(ConfigError, match=r"'flat' .* cannot be imported"):
        all_terms()


def test_an_entry_point_must_name_a_term_of_its_name(own_registry, monkeypatch):
    entry("other", f"{__name__}:Flat", monkeypatch)
    with pytest.raises(ConfigError, match="must name a Term class called 'other'"):
        all_terms()


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("format", {"kind": "x"}),
        ("gaussian", {"sigma": 0.0}),
        ("gaussian", {"offset": -1.0}),
        ("gaussian", {"decimals": -1}),
        ("laplace", {"tau": float("nan")}),
        ("laplace", {"clamp": [5.0, 1.0]}),
        ("threshold", {"limit": 0.0}),
        ("linear", {"width": -1.0}),
        ("binary", {"limit": 0.0}),
        ("binary", {"near_limit": 0.1}),
        ("binary", {"near_reward": 2.0}),
        ("two_decimals", {"factor": 2.0}),
        ("two_decimals", {"read": "x"}),
        ("fidelity", {"ties": "x"}),
        ("fidelity", {"variance": "x"}),
        ("fidelity", {"eps_variance": 0.0}),
        ("fidelity", {"eps_root": -1.0}),
        ("binary_pair", {"ties": "x"}),
        ("margin", {"width": "x"}),
        ("margin", {"unit": 0.0}),
        ("margin", {"floor_width": 0.0}),
        ("spread_penalty", {"limit": 0.0}),
        ("spread_penalty", {"strength": 0.0}),
        ("response_balance", {"aspects": "x"}),
        ("response_balance", {"tolerance": -1.0}),
        ("response_balance", {"strength": 0.0}),
        ("score_and_rank", {"wrong_order": "x"}),
        ("score_and_rank", {"ties": "x"}),
        ("score_and_rank", {"min_gap": -0.1}),
        ("preference_triplet", {"pairing": "x"}),
        ("preference_triplet", {"ties": "x"}),
        ("rank_to_truth", {"ties": "x"}),
        ("rank_to_truth", {"exact": -1.0}),
        ("degradation", {"class_reward": -1.0}),
        ("grounding", {"min_iou": 0.0}),
        ("grounding", {"f1_weight": -1.0}),
        ("dimension_mean", {"names": []}),
        ("dimension_mean", {"names": ["a", "a"]}),
        ("dimension_mean", {"weights": [1.0]}),
        ("dimension_mean", {"kernel": {"name": "format"}}),
        ("attribution_f1", {"fields": []}),
        ("temporal_bonus", {"scope": "x"}),
        ("temporal_bonus", {"ratio": 0.0}),
        ("temporal_bonus", {"bonus": 0.0}),
        ("length_bonus", {"low": 600}),
        ("length_bonus", {"at_least": 0}),
        ("repetition_penalty", {"part": "x"}),
        ("repetition_penalty", {"lowest": 0.0}),
        ("repetition_penalty", {"limit": -1}),
        ("repetition_penalty", {"strength": 0.0}),
        ("consistency", {"sigma": 0.0}),
        ("consistency_lexicon", {"low": 0.9}),
        ("level_rank", {"ties": "x"}),
        ("level_rank", {"eps_variance": 0.0}),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(name, params):
    with pytest.raises(ValueError, match=name):
        make_term(name, **params)


def test_importing_the_terms_loads_neither_torch_nor_scipy():
    code = "import sys, pondera.core.rewards; print(*{'torch', 'scipy', 'transformers'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.split() == []
