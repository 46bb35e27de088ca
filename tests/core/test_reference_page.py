"""The rewards page is what the registries say."""

from __future__ import annotations

from pathlib import Path

from pondera.core import reference_page
from pondera.core.presets import list_systems
from pondera.core.rewards import all_terms

PAGE = Path(__file__).parents[2] / "docs" / "rewards.md"


def test_the_committed_page_is_fresh():
    assert reference_page.main(["--check", "--out", str(PAGE)]) == 0, "run: python -m pondera.core.reference_page"


def test_every_term_and_system_has_its_section():
    page = reference_page.render()
    terms = [name for name, term in all_terms().items() if term.__module__.startswith("pondera.")]
    for name in (*terms, *list_systems()):
        assert f"\n### {name}\n" in page
    for term in (all_terms()[name] for name in terms):
        assert term.formula in page
        assert term.source in page
        assert term.defect in page


def test_membership_counts_inner_terms():
    section = reference_page.render().split("### relative_error\n")[1].split("###")[0]
    assert "`vq-insight@as_released`" in section


def test_a_stale_or_missing_page_fails_the_check_and_is_not_written(tmp_path, capsys):
    path = tmp_path / "rewards.md"
    assert reference_page.main(["--check", "--out", str(path)]) == 1
    assert not path.exists()
    assert "is stale" in capsys.readouterr().err
    assert reference_page.main(["--out", str(path)]) == 0
    assert reference_page.main(["--check", "--out", str(path)]) == 0
    path.write_text(path.read_text(encoding="utf-8") + "x", encoding="utf-8")
    assert reference_page.main(["--check", "--out", str(path)]) == 1
