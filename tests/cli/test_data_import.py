"""`pondera data import` and what `pondera data list` says about it."""

from __future__ import annotations

import json

import pytest

from pondera.core.records import LabelScale
from pondera.data.adapters import adapter_names
from pondera.data.manifest import read_manifest


@pytest.fixture
def biq(tmp_path):
    """Three photographs of BIQ2021, as its owner lays them out."""
    root = tmp_path / "BIQ2021"
    (root / "Images").mkdir(parents=True)
    (root / "Train (Images and MOS).csv").write_text("Image Name,MOS\nss01 (1).jpg,0.2\nss03 (2).jpg,0.8\n")
    (root / "Test (Images and MOS).csv").write_text("Image Name,MOS\nss02 (3).jpg,0.5\n")
    for name in ("ss01 (1).jpg", "ss03 (2).jpg", "ss02 (3).jpg"):
        (root / "Images" / name).write_text("x")
    return root


def test_list_names_every_data_set_with_its_count_and_whether_its_layout_is_verified(pondera):
    text = pondera("data", "list").stdout
    lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ")}
    assert set(adapter_names()) <= set(lines)
    assert "10,073" in lines["koniq10k"] and " verified" in lines["koniq10k"]
    assert "unverified" in lines["lgvq"]
    document = json.loads(pondera("data", "list", "--format", "json").stdout)
    assert document["datasets"]["kadid10k"]["count"] == 10_125
    assert document["datasets"]["pipal"]["scale"] == "observed"
    assert document["datasets"]["ava"]["count_from"] == "print"
    assert document["datasets"]["pipal"]["citation"] == "Gu et al., ECCV 2020"
    assert (document["datasets"]["pipal"]["title"], document["datasets"]["pipal"]["version"]) == (
        "PIPAL (training part)",
        1,
    )
    assert document["published_lists"]["preresq-r1/pipal"]["count"] == 23_200
    assert set(document["formats"]) == {"csv", "folder", "deqa", "huggingface"}


def test_import_refuses_part_of_a_set_unless_told_so(pondera, biq):
    out = biq.parent / "biq.jsonl"
    refused = pondera("data", "import", "biq2021", biq, "--out", out)
    assert (refused.exit_code, refused.stdout, out.exists()) == (1, "", False)
    assert "3 labels instead of 12,000" in refused.stderr and "--partial" in refused.stderr
    done = pondera("data", "import", "biq2021", biq, "--out", out, "--partial")
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [
        "warning: BIQ2021: taken in part: 3 labels instead of 12,000",
        "warning: BIQ2021: taken in part: split train has 2 labels instead of 10,000",
        "warning: BIQ2021: taken in part: split test has 1 labels instead of 2,000",
    ]
    assert done.stdout == f"{out}: 2 train, 1 test\n"
    assert [sample.mos for sample in read_manifest(out)] == [0.2, 0.8, 0.5]


def test_a_whole_table_with_one_split_is_refused_and_its_file_named(pondera, tmp_path):
    table = tmp_path / "koniq10k_distributions_sets.csv"
    rows = "".join(f"{n}.jpg,0,0,0,1,0,105,77.38,0.5,training\n" for n in range(10_073))
    table.write_text(f"image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set\n{rows}")
    refused = pondera("data", "import", "koniq10k", tmp_path, "--no-check-media", "--out", tmp_path / "m.jsonl")
    assert refused.exit_code == 1
    assert "split train has 10,073 labels instead of 7,058; split val has 0" in refused.stderr
    assert f"(counted in {table})" in refused.stderr


def test_import_says_how_many_files_are_missing(pondera, biq):
    out = biq.parent / "biq.jsonl"
    (biq / "Images" / "ss01 (1).jpg").unlink()
    done = pondera("data", "import", "biq2021", biq, "--out", out, "--partial", "--range", "observed")
    assert "left out 1 samples" in done.stderr
    assert {sample.scale for sample in read_manifest(out)} == {LabelScale(0.2, 0.8)}


def test_import_of_a_table_turns_labels_around(pondera, tmp_path):
    (tmp_path / "t.csv").write_text("name,dmos\na.png,10\n")
    (tmp_path / "a.png").write_text("x")
    out = tmp_path / "m.jsonl"
    options = ("--scale", 0, 100, "--columns", "file=name,mos=dmos", "--lower-is-better", "--dataset", "mine")
    assert pondera("data", "import", "csv", tmp_path / "t.csv", "--out", out, *options).exit_code == 0
    (sample,) = read_manifest(out)
    assert (sample.id, sample.mos) == ("mine/a.png", 90.0)


def test_import_of_a_table_of_words_takes_their_numbers_from_levels(pondera, tmp_path):
    (tmp_path / "t.csv").write_text("File;Rating\na.png;good\n")
    (tmp_path / "a.png").write_text("x")
    out = tmp_path / "m.jsonl"
    options = ("--scale", 1, 5, "--columns", "mos=rating", "--levels", "bad=1,good=4")
    assert pondera("data", "import", "csv", tmp_path / "t.csv", "--out", out, *options).exit_code == 0
    assert read_manifest(out)[0].mos == 4.0


def test_imported_lists_need_no_media_when_nobody_looks(pondera, tmp_path):
    (tmp_path / "GT_BID.txt").write_text("1.jpg 4.66\n")
    options = ("--partial", "--no-check-media", "--media", tmp_path / "elsewhere")
    out = tmp_path / "bid.jsonl"
    assert pondera("data", "import", "preresq-r1/bid", tmp_path, "--out", out, *options).exit_code == 0
    assert read_manifest(out)[0].path().endswith("elsewhere/1.jpg")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("kadid-10k", "."), 1, "did you mean kadid10k"),
        (("tid2013", "nowhere"), 1, "mos_with_names.txt: missing"),
        (("csv", "t.csv", "--scale", 5, 1), 2, "low < high"),
        (("csv", "t.csv", "--scale", 1, 5, "--columns", "file"), 2, "is no pair"),
        (("csv", "t.csv", "--scale", 1, 5, "--columns", "mos=a,mos=b"), 2, "'mos' is there twice"),
        (("csv", "t.csv", "--scale", 1, 5, "--levels", "bad=one"), 2, "could not convert"),
        (("folder", ".", "--levels", "bad=1"), 1, "--levels means nothing to 'folder'"),
        (("spaq", ".", "--range", "mine"), 2, "nominal"),
    ],
)
def test_wrong_imports_are_answered(pondera, tmp_path, words, code, says):
    result = pondera("data", "import", *words, "--out", tmp_path / "m.jsonl")
    assert result.exit_code == code and says in result.stderr
    assert not (tmp_path / "m.jsonl").exists()


def test_missing_label_files_are_named_and_a_scale_of_a_cut_table_is_warned_of(pondera, tmp_path):
    """One label file of PIPAL's 200, with two rows of its 116."""
    (tmp_path / "Train_Label").mkdir()
    (tmp_path / "Train_Label" / "A0001.txt").write_text("A0001_00_00.bmp,1\nA0001_00_01.bmp,2\n")
    args = ("data", "import", "pipal", tmp_path, "--no-check-media", "--out", tmp_path / "m.jsonl")
    refused = pondera(*args)
    assert refused.exit_code == 1
    assert (
        "PIPAL (training part): 200 label files are missing or cut: Train_Label/A0001.txt (2 labels instead of 116), "
        "Train_Label/A0002.txt, Train_Label/A0003.txt and 197 more. Download it again from https://www.jasongt.com"
    ) in " ".join(refused.stderr.split())
    done = pondera(*args, "--partial")
    assert done.exit_code == 0
    assert "warning: PIPAL (training part): the scale is the range of 2 labels" in done.stderr
    sample = json.loads((tmp_path / "m.jsonl").read_text().splitlines()[0])
    assert sample["meta"] == {"adapter_version": 1}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("koniq10k",), ("ROOT is missing", "koniq-10k-database", "import koniq10k ROOT --out koniq10k.jsonl")),
        (("koniq10k", "K"), ("--out is missing: the manifest to write", "import koniq10k K --out koniq10k.jsonl")),
        (("preresq-r1/pipal",), ("files of the list", "import preresq-r1/pipal ROOT --out preresq-r1-pipal.jsonl")),
        (("csv", "--out", "m.jsonl"), ("a table with a header", "import csv ROOT --out m.jsonl")),
        (("konic10k",), ("koniq10k",)),
    ],
)
def test_an_import_without_root_or_manifest_is_answered_with_the_whole_command(pondera, words, says):
    refused = pondera("data", "import", *words)
    assert refused.exit_code == (1 if words == ("konic10k",) else 2)
    assert all(text in " ".join(refused.stderr.split()) for text in says), refused.stderr
