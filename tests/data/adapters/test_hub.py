"""Hugging Face data sets in a folder: the layouts of the Hub and of `datasets`, written by hand."""

import json
from pathlib import Path

import pytest

from pondera.core.records import FIVE_POINT
from pondera.data.importers.fields import Labels
from pondera.data.importers.hub import huggingface_samples
from pondera.errors import ConfigError, DatasetError

pyarrow = pytest.importorskip("pyarrow")

ONE_TO_FIVE = Labels(FIVE_POINT)
PNG, JPEG = b"\x89PNG\r\n", b"\xff\xd8\xff\xe0"
CLASS_LABEL = {"names": ["bad", "poor", "fair", "good", "excellent"], "_type": "ClassLabel"}


@pytest.fixture
def hub(tmp_path):
    """A folder that files are written into and read from."""

    class Hub:
        root, media = tmp_path / "set", tmp_path / "images"

        def write(self, name, *, features=None, **columns):
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            table = pyarrow.table(columns)
            if features:
                table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
            if path.suffix == ".arrow":
                with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as stream:
                    stream.write_table(table)
            else:
                pyarrow.parquet.write_table(table, path)
            return path

        def read(self, labels=ONE_TO_FIVE, root=None, **columns):
            arguments = {"dataset": "hub", "columns": columns, "media": self.media}
            return list(huggingface_samples(root or self.root, labels, **arguments))

    import pyarrow.parquet

    return Hub()


def test_images_of_parquet_files_become_files_and_rows_samples(hub):
    images = [{"bytes": PNG, "path": "x.PNG"}, {"bytes": JPEG, "path": None}]
    hub.write("data/train-00000-of-00001.parquet", picture=images, score=[1.0, 4.0])
    first, second = hub.read(image="picture", mos="score")
    assert [(sample.mos, sample.split) for sample in (first, second)] == [(1.0, "train"), (4.0, "train")]
    assert first.path().endswith("000001.png") and Path(first.path()).read_bytes() == PNG
    assert second.path().endswith("000002.jpg") and second.scale == FIVE_POINT


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/validation-00000-of-00002.parquet", "val"),
        ("default/test/0000.parquet", "test"),  # what the Hub converts every set to
        ("default/partial-train/0003.parquet", "train"),
        ("train/data-00000-of-00001.arrow", "train"),  # save_to_disk of all splits
        ("data-00000-of-00001.arrow", None),  # and of one
        ("data/koniq-00000-of-00001.parquet", "koniq"),  # a split of the publisher's own
        ("scores.parquet", None),
    ],
)
def test_the_split_is_that_of_the_file(hub, name, split):
    hub.write(name, image=[PNG], mos=[3.0])
    assert hub.read()[0].split == split


def test_files_of_one_name_in_two_folders_keep_their_own_images(hub):
    """default/train/0000 and default/test/0000: the images of one were once taken for those of the other."""
    hub.write("default/train/0000.parquet", image=[PNG], mos=[3.0])
    hub.write("default/test/0000.parquet", image=[JPEG], mos=[4.0])
    assert {Path(s.path()).read_bytes(): s.split for s in hub.read()} == {PNG: "train", JPEG: "test"}


def test_an_image_of_an_earlier_import_is_written_again_when_it_differs(hub):
    hub.write("a.parquet", image=[PNG], mos=[3.0])
    (before,) = hub.read()
    hub.write("a.parquet", image=[PNG + b"more"], mos=[3.0])
    (after,) = hub.read()
    assert after.path() == before.path() and Path(after.path()).read_bytes() == PNG + b"more"


@pytest.mark.parametrize("cell", ["a.png", {"bytes": None, "path": "a.png"}, [{"bytes": None, "path": "a.png"}]])
def test_an_image_that_is_a_path_stays_where_it_is(hub, cell):
    path = hub.write("data/train.parquet", image=[cell], mos=[3.0])
    (path.parent / "a.png").write_bytes(PNG)
    assert hub.read()[0].path() == (path.parent / "a.png").as_posix()
    assert not hub.media.exists()


def test_more_columns_are_read_by_their_own_or_other_names(hub):
    hub.write(
        "a.parquet", image=[PNG], MOS=[3.0], std=[0.5], split=["dev"], ref=["x"], prompt=["a cat"], image_id=["i7"]
    )  # fmt: skip
    (sample,) = hub.read(mos_std="std", reference="ref", text="prompt", id="image_id")
    assert (sample.mos_std, sample.split, sample.reference) == (0.5, "dev", "x")
    assert (sample.text, sample.id) == ("a cat", "i7")


def test_validation_in_a_column_is_val_as_in_a_name_of_a_file(hub):
    hub.write("a.parquet", image=[PNG, JPEG], MOS=[3.0, 3.0], split=["validation", "test"])
    assert [sample.split for sample in hub.read()] == ["val", "test"]


def test_values_inside_a_column_are_named_by_their_path(hub):
    talk = [{"from": "human", "value": "Rate it."}, {"from": "gpt", "value": "3.5"}]
    hub.write("a.parquet", images=[[PNG]], conversations=[talk], annotation=[{"quality": 2}])
    assert hub.read(image="images", mos="conversations.1.value")[0].mos == 3.5
    assert hub.read(image="images.0", mos="annotation.quality")[0].mos == 2.0
    with pytest.raises(DatasetError, match=r"a\.parquet:1 \(row\): no 'mos' in annotation\.mos; there are quality"):
        hub.read(image="images", mos="annotation.mos")
    with pytest.raises(DatasetError, match=r"no '2' in conversations\.2\.value; there are 2 entries, from 0"):
        hub.read(image="images", mos="conversations.2.value")
    with pytest.raises(DatasetError, match=r"'Rate it\.'"):
        hub.read(image="images", mos="conversations.0.value")


def test_numbers_of_class_labels_are_no_scores(hub):
    """3 stands for `good`, the fourth word, and not for three of five."""
    hub.write("a.parquet", features={"label": CLASS_LABEL}, image=[PNG, PNG], label=[3, 0])
    with pytest.raises(DatasetError, match=r"a\.parquet:1: label is 'good', a word; .*--levels"):
        hub.read(mos="label")
    levels = {name: float(n) for n, name in enumerate(CLASS_LABEL["names"], start=1)}
    assert [sample.mos for sample in hub.read(Labels(FIVE_POINT, levels=levels), mos="label")] == [4.0, 1.0]
    assert [sample.subset for sample in hub.read(Labels(FIVE_POINT, levels=levels), mos="label", subset="label")] == [
        "good",
        "bad",
    ]


def test_columns_that_are_missing_are_answered_with_those_that_are_there(hub):
    hub.write("a.parquet", img=[PNG], quality_mos=[3.0], views=[7])
    with pytest.raises(
        DatasetError, match=r"no column 'image'; there are img, quality_mos, views\. .*image=img,mos=qu"
    ):
        hub.read()
    with pytest.raises(DatasetError, match="no column 'std', which --columns names for mos_std; there are img"):
        hub.read(image="img", mos="quality_mos", mos_std="std")
    with pytest.raises(ConfigError, match="no field is called 'file'; there are image, mos"):
        hub.read(file="img")
    with pytest.raises(DatasetError, match=r"a\.parquet:1 \(row\): no image, but 7; name the column"):
        hub.read(image="views", mos="quality_mos")


def test_a_label_that_is_missing_or_off_the_scale_names_file_row_and_value(hub):
    path = hub.write("a.parquet", image=[PNG, PNG], mos=[3.0, None])
    with pytest.raises(DatasetError, match=r"a\.parquet:2: column 'mos' is empty"):
        hub.read()
    hub.write("a.parquet", image=[PNG], mos=[77.0])
    with pytest.raises(DatasetError, match=r"a\.parquet:1: label 77 is outside 1\.\.5"):
        hub.read(root=path)  # one file of a set


def test_folders_without_data_say_what_to_do(hub):
    with pytest.raises(DatasetError, match="no such folder"):
        hub.read()
    hub.root.mkdir()
    with pytest.raises(DatasetError, match=r"no parquet or arrow files.*hf download"):
        hub.read()
    (hub.root / "a.parquet").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DatasetError, match="damaged, or a pointer of Git LFS"):
        hub.read()
    (hub.root / "a.parquet").unlink()
    (hub.root / "metadata.csv").write_text("file_name,mos\n")
    with pytest.raises(DatasetError, match=r"import that: csv .*metadata\.csv --columns file=file_name"):
        hub.read()


@pytest.mark.slow  # importing `datasets` is
def test_what_datasets_itself_saves_is_read(hub):
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    features = datasets.Features({"image": datasets.Image(), "mos": datasets.Value("float32")})
    rows = {"image": [Image.new("RGB", (4, 4), "red")], "mos": [3.5]}
    saved = datasets.DatasetDict({"validation": datasets.Dataset.from_dict(rows, features=features)})
    saved.save_to_disk(str(hub.root))
    (sample,) = hub.read()
    assert (sample.mos, sample.split) == (3.5, "val")
    with Image.open(sample.path()) as image:
        assert image.size == (4, 4)
