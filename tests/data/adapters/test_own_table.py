"""Tables of one's own, as people and spreadsheet programs write them."""

from pathlib import Path

import pytest

from pondera.core.records import FIVE_POINT, LabelScale
from pondera.data.importers.fields import Labels
from pondera.data.importers.own_table import csv_samples
from pondera.errors import ConfigError, DatasetError

ONE_TO_FIVE = Labels(FIVE_POINT)
PERCENT = LabelScale(0.0, 100.0)


@pytest.fixture
def read(tmp_path):
    """Write a table and read it; `labels` and `columns` as the command line would give them."""

    def read_table(*lines, name="scores.csv", labels=ONE_TO_FIVE, media=None, encoding="utf-8", **columns):
        table = tmp_path / name
        table.write_bytes("\n".join(lines).encode(encoding))
        return list(csv_samples(table, labels, dataset="mine", columns=columns, media=media or Path("m")))

    return read_table


def _read(samples):
    return [(sample.path(), sample.mos) for sample in samples]


def test_columns_are_read_by_the_names_they_are_given(read):
    columns = {"file": "name", "mos": "score", "mos_std": "sd", "split": "set", "reference": "clip"}
    image, video = read("name,score,sd,set,clip", "a.jpg,2.0,0.5,train,x", "v.mp4,4.5,,test,x", **columns)
    assert (image.mos, image.mos_std, image.split, image.reference) == (2.0, 0.5, "train", "x")
    assert (video.kind, video.mos_std, video.id) == ("video", None, "mine/v.mp4")
    assert image.path() == "m/a.jpg"


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("s.csv", ("file;mos", "a.jpg;3.5")),
        ("s.csv", ("file;mos", "a.jpg;3,5")),  # what Excel writes in much of Europe
        ("s.tsv", ("file\tmos", "a.jpg\t3,5")),
        ("s.txt", ("file\tmos", "a.jpg\t3.5")),
        ("s.csv", ("\ufefffile,mos", "a.jpg,3.5")),
        ("s.csv", ("", "File , MOS", "", " a.jpg , 3.5 ")),
        ("s.csv", ("file,mos,camera,note", 'a.jpg,3.5,canon,"sharp, bright"')),
        ("s.csv", ("file,mos,,", "a.jpg,3.5,,")),  # empty columns of a spreadsheet
    ],
)
def test_separators_marks_and_letter_case_of_spreadsheet_programs_are_read(read, name, lines):
    assert _read(read(*lines, name=name)) == [("m/a.jpg", 3.5)]


def test_a_percent_sign_is_no_part_of_the_number(read):
    assert _read(read("file,mos", "a.jpg,75%", labels=Labels(PERCENT))) == [("m/a.jpg", 75.0)]


def test_windows_paths_are_paths(read):
    assert _read(read("file,mos", r"set\a.jpg,3.5")) == [("m/set/a.jpg", 3.5)]


def test_an_absolute_path_stays_and_is_named_below_the_folder_of_the_media(read, tmp_path):
    inside, outside = read("file,mos", f"{tmp_path}/set/a.jpg,3", "/far/b.jpg,4", media=tmp_path)
    assert (inside.path(), inside.id) == (f"{tmp_path}/set/a.jpg", "mine/set/a.jpg")
    assert (outside.path(), outside.id) == ("/far/b.jpg", "mine/far/b.jpg")


def test_lower_is_better_is_turned_around_on_the_scale(read):
    (sample,) = read("file,mos", "a.jpg,1.5", labels=Labels(FIVE_POINT, lower_is_better=True))
    assert sample.mos == 4.5
    with pytest.raises(DatasetError, match=r"label 6 is outside 1\.\.5"):  # the number in the file
        read("file,mos", "a.jpg,6", labels=Labels(FIVE_POINT, lower_is_better=True))


def test_words_have_the_numbers_that_levels_give_them(read):
    levels = Labels(FIVE_POINT, levels={"poor": 2.0, "good": 4.0})
    assert [sample.mos for sample in read("file,mos", "a.jpg,good", "b.jpg,poor", labels=levels)] == [4.0, 2.0]
    with pytest.raises(DatasetError, match="mos is 'fair', which --levels does not name; it names poor, good"):
        read("file,mos", "a.jpg,fair", labels=levels)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (("image_name,MOS", "a.jpg,3"), r"no column 'file'; there are image_name, MOS\. .*--columns file=image_name$"),
        (("path,rating", "a.jpg,3"), r"no column 'file'; there are path, rating\. .*--columns file=path,mos=rating$"),
        (("a.jpg,3.5", "b.jpg,4"), r"first line must name the columns, and looks like a row.*no column 'file'"),
        (("file,mos", "a.jpg,3,5"), r"scores\.csv:2: 3 cells, expected 2 \(file, mos\); a cell that holds a comma"),
        (("file,mos,mos_std", "a.jpg,3,-1"), r"scores\.csv:2: mos_std is '-1', expected 0 or more"),
        (("file,mos,text", 'a.jpg,3,"a', "b.jpg,3,b"), r"scores\.csv:2: not CSV .*close its quotes"),
        (("file,mos", "a.jpg"), r"scores\.csv:2: 1 cells, expected 2"),
        (("file,mos", 'a.jpg,"3,5"'), r"scores\.csv:2: mos is '3,5'; write it with a dot, or separate cells by semi"),
        (("file,mos", "a.jpg,good"), r"mos is 'good', a word; .* --levels bad=1,poor=2"),
        (("file,mos", "a.jpg,nan"), r"mos is 'nan', not a number"),
        (("file,mos", "a.jpg,"), r"scores\.csv:2: column 'mos' is empty"),
        (("file,mos", "a.jpg,85"), r"scores\.csv:2: label 85 is outside 1\.\.5; .*--scale"),
        (("file,mos", "a.jpg,3", "a.jpg,4"), r"scores\.csv:3: a\.jpg was in line 2 already"),
        (("file,mos,mos", "a.jpg,3,4"), r"scores\.csv:1: two columns are called 'mos'"),
        (("file,mos",), r"scores\.csv: no rows below the header"),
        (("", ""), r"scores\.csv: empty; expected a header"),
    ],
)
def test_what_is_wrong_with_a_table_is_named_with_line_value_and_way_out(read, lines, says):
    with pytest.raises(DatasetError, match=says):
        read(*lines)


def test_fields_and_columns_that_do_not_exist_are_refused(read):
    with pytest.raises(ConfigError, match="no field is called 'score'; there are file, mos"):
        read("file,mos", "a.jpg,3", score="mos")
    with pytest.raises(DatasetError, match="no column 'sd', which --columns names for mos_std; there are file, mos"):
        read("file,mos", "a.jpg,3", mos_std="sd")


def test_other_files_are_no_tables(read, tmp_path):
    arguments = {"labels": Labels(FIVE_POINT), "dataset": "mine", "columns": {}, "media": tmp_path}
    (tmp_path / "book.xlsx").write_bytes(b"PK")
    for place, says in (("book.xlsx", "save its sheet as CSV"), (".", "a folder"), ("none.csv", "no such table")):
        with pytest.raises(DatasetError, match=says):
            list(csv_samples(tmp_path / place, **arguments))
    with pytest.raises(DatasetError, match=r"not UTF-8 text\. .*saves yours as UTF-8"):
        read("file,mos", "ä.jpg,3", encoding="latin-1")
