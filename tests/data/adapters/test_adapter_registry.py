"""The registry, and what all adapters have in common."""

import re
from pathlib import Path
from typing import get_args

import pytest

from pondera.data.adapters import adapter_names, get_adapter, register, tables
from pondera.data.adapters.base import CountSource, on_scale
from pondera.data.adapters.tables import Row, csv_rows
from pondera.errors import ConfigError, DatasetError

NAMES = adapter_names()
PAGE = (Path(__file__).parents[3] / "docs" / "datasets.md").read_text(encoding="utf-8")


# What the labels rate where that is not quality. Three scores of LGVQ: not one of them.
RATES = {"evalmuse": "alignment", "lgvq": ""}
RATES |= dict.fromkeys(("ava", "tad66k", "flickr-aes", "para", "aadb"), "aesthetics")

# What the docstring of an adapter must hold, and how it is recognised.
IN_DOCSTRING = {
    "citation": r"Citation: \w",
    "evidence": r"Evidence: \w",
    "label direction": r"(?i)(higher|lower) is better",
    "a raw row": r"(A row|An entry)[^`]*`[^`]+`",
    "files": r"Files: <root>|so they are not the owner's, and nothing is read",
}
# owner/name@commit:path of a file on GitHub that shows the layout.
CITED = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{7,40}:\S")


@pytest.mark.parametrize("name", NAMES)
def test_every_adapter_states_all_that_one_must_state(name):
    """Licence, citation, official split, label direction, scale, a raw row, a version, a count and what was counted,
    and what the label rates.
    """
    adapter = get_adapter(name)
    docstring = " ".join((type(adapter).__doc__ or "").split())
    lacking = [what for what, pattern in IN_DOCSTRING.items() if not re.search(pattern, docstring, re.IGNORECASE)]
    lacking += [word for word in ("title", "splits", "licence", "source", "citation") if not getattr(adapter, word)]
    assert lacking == []
    assert adapter.name == name and adapter.version >= 1
    assert adapter.scale is not None or "observed" in docstring
    assert adapter.count_from in get_args(CountSource)
    assert (adapter.expected_count is None) == (adapter.count_from == "unknown")
    assert adapter.expected_count is not None or "asserted" in docstring  # and why
    assert "Evidence" not in adapter.citation
    assert adapter.rates == RATES.get(name, "quality")


@pytest.mark.parametrize("name", NAMES)
def test_every_layout_cites_a_file_at_a_commit_and_no_reader_without_a_name(name):
    adapter = get_adapter(name)
    _, _, evidence = " ".join((type(adapter).__doc__ or "").split()).partition("Evidence:")
    assert CITED.search(evidence)
    assert not re.search(r"(?i)\bpublic (reader|converter|script|copies)", evidence) or not adapter.verified


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_labels_in_each_split_is_that_of_the_text(name):
    adapter = get_adapter(name)
    stated = re.findall(r"\b((?:train|val|test)\w*) ([\d,]{3,})\b", adapter.splits)
    assert adapter.split_counts == {split: int(count.replace(",", "")) for split, count in stated}
    if {"train", "test"} <= set(adapter.split_counts):
        assert sum(adapter.split_counts.values()) == adapter.expected_count


def _table_line(adapter):
    count = "-" if adapter.expected_count is None else f"{adapter.expected_count:,}"
    scale = f"{adapter.scale.low:g}..{adapter.scale.high:g}" if adapter.scale else "observed"
    cells = (
        f"`{adapter.name}`", adapter.title + ("" if adapter.verified else " (unverified)"), adapter.kind,
        str(adapter.version), count, adapter.count_from, scale, adapter.splits, adapter.licence, adapter.source,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def test_the_page_of_data_sets_says_what_the_adapters_say():
    """Paste the expected lines into the page when an adapter changes."""
    adapters = [get_adapter(name) for name in NAMES]
    heading, _, table = PAGE.partition("\n| name | set | kind | version | labels | counted in |")
    lines = table.split("\n\n")[0].splitlines()[2:]
    assert lines == [_table_line(adapter) for adapter in adapters]
    num_read = sum(name != "lgvq" for name in NAMES)
    assert f"`pondera data list` counts {len(NAMES)}: the {num_read} that import, and LGVQ" in " ".join(heading.split())
    for adapter in adapters:
        if adapter.version > 1:
            assert f"`{adapter.name}` {adapter.version}:" in PAGE, "say what the version changed"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "lgvq"])
def test_an_empty_folder_is_answered_with_the_file_that_is_missing_and_where_it_comes_from(name, tmp_path):
    adapter = get_adapter(name)
    with pytest.raises(DatasetError) as caught:
        list(adapter.samples(tmp_path))
    assert str(tmp_path) in str(caught.value) and "missing" in str(caught.value)
    assert adapter.source in str(caught.value)


def test_a_typo_is_answered_with_suggestions():
    with pytest.raises(ConfigError, match="did you mean kadid10k"):
        get_adapter("kadid-10k")
    with pytest.raises(ConfigError, match="pondera data list"):
        get_adapter("zzzzzz")


def test_a_name_is_registered_once():
    with pytest.raises(ConfigError, match="registered twice"):
        register("kadid10k", "somewhere:Else")


def test_only_two_sets_and_one_list_lack_evidence_for_their_layout():
    assert [name for name in NAMES if not get_adapter(name).verified] == ["liu13", "lgvq", "live-yt-gaming"]


def test_a_bad_number_names_file_line_and_value(tmp_path):
    (tmp_path / "dmos.csv").write_text(
        "dist_img,ref_img,dmos,var\nI01_01_01.png,I01.png,4.5,0.4\nI01_01_02.png,I01.png,n/a,1\n"
    )
    with pytest.raises(DatasetError, match=r"dmos\.csv:3: dmos is 'n/a', not a number"):
        list(get_adapter("kadid10k").samples(tmp_path))


def test_a_label_outside_its_scale_names_file_line_and_value(tmp_path):
    (tmp_path / "dmos.csv").write_text("dist_img,ref_img,dmos,var\nI01_01_01.png,I01.png,45,0.4\n")
    with pytest.raises(DatasetError, match=r"dmos\.csv:2: label 45 is outside 1\.\.5"):
        list(get_adapter("kadid10k").samples(tmp_path))


def test_a_short_row_and_a_missing_column_are_named(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("a,b\n1\n")
    with pytest.raises(DatasetError, match=r"t\.csv:2: 1 cells, expected 2 \(a, b\)"):
        list(csv_rows(table))
    table.write_text("a,b\n1,2\n")
    with pytest.raises(DatasetError, match="column 'c' is missing; there are a, b"):
        next(csv_rows(table)).text("c")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\nx,0,53\n", r"t\.csv:2: 3 cells, expected 2 \(a, b\); .* a decimal comma must be a dot"),
        ("a,b,a\n1,2,3\n", r"t\.csv:1: two columns are called 'a'; rename one"),
        ('a,b\n1,2\n1,"2\n3,4\n', r"t\.csv:3: not CSV .*close its quotes"),
        ("a,b\n", r"t\.csv: no rows below the header \(a, b\)"),
        ("", r"t\.csv: no rows"),
    ],
)
def test_a_table_that_would_lose_values_is_refused(tmp_path, text, says):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DatasetError, match=says):
        list(csv_rows(tmp_path / "t.csv"))
    assert [row.text("b") for row in csv_rows(_written(tmp_path, 'a,b,\n1,"2, 3",,\n'))] == ["2, 3"]


def _written(folder, text):
    (folder / "t.csv").write_text(text)
    return folder / "t.csv"


def test_remarks_beside_the_table_of_a_workbook_are_left_alone_and_those_of_its_csv_are_not(tmp_path, monkeypatch):
    """Cells of a workbook keep their columns; in a text file one more cell may be a decimal comma."""
    found = [(1, ["image", "mos"]), (2, ["a.jpg", "0", "53"])]
    monkeypatch.setattr(tables, "sheet_cells", lambda path, sheet: iter(found))
    (row,) = tables.sheet_rows(tmp_path / "t.xlsx", None, ["image", "mos"])
    assert row.cells == {"image": "a.jpg", "mos": "0"}
    with pytest.raises(DatasetError, match=r"t\.csv:2: 3 cells, expected 2"):
        list(tables.sheet_rows(tmp_path / "t.csv", None, ["image", "mos"]))


@pytest.mark.parametrize(
    ("name", "row", "says"),
    [
        ("koniq10k", "a.jpg,0,0,0,1,0,105,77.38,-0.5,test", r"sets\.csv:2: SD is '-0\.5', expected 0 or more"),
        ("koniq10k", "a.jpg,0,0,0,-1,0,105,77.38,0.5,test", r"sets\.csv:2: c4 is '-1', expected 0 or more"),
        ("koniq10k", "a.jpg,0,0,0,0,0,0,77.38,0.5,test", r"sets\.csv:2: the votes are all 0"),
        ("csiq", "1600,1,noise,1,0.061,1.5", r"DMOS\.csv:2: label 1\.5 is outside 0\.\.1"),
    ],
)
def test_a_row_that_no_command_would_take_is_refused_at_import(tmp_path, name, row, says):
    table, header = {
        "koniq10k": ("koniq10k_distributions_sets.csv", "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set"),
        "csiq": ("csiq.DMOS.csv", "image,dst_idx,dst_type,dst_lev,dmos_std,dmos"),
    }[name]
    (tmp_path / table).write_text(f"{header}\n{row}\n")
    with pytest.raises(DatasetError, match=says):
        list(get_adapter(name).samples(tmp_path))


def test_only_the_first_row_of_bid_may_be_a_header(tmp_path):
    (tmp_path / "DatabaseGrades.csv").write_text("image,average,,o1\n1,4.0,,3.0\ntwo,4.0,,3.0\n")
    with pytest.raises(DatasetError, match=r"DatabaseGrades\.csv:3: image is 'two', not a number"):
        list(get_adapter("bid").samples(tmp_path))


def test_binary_instead_of_text_is_named(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00x")
    with pytest.raises(DatasetError, match=r"t\.csv:1: not UTF-8"):
        list(csv_rows(tmp_path / "t.csv"))


def test_rounding_beyond_a_bound_becomes_the_bound(tmp_path):
    row, scale = Row(tmp_path, 1, {}), get_adapter("koniq10k").scale
    assert on_scale(100.00000000000001, scale, row) == 100.0
    with pytest.raises(DatasetError, match=r"100\.001 is outside"):
        on_scale(100.001, scale, row)
