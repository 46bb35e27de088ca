"""Every label file and every media file of every data set, missing in turn: the message names it."""

from __future__ import annotations

import re

import pytest
from tests.data.adapters.layouts import LAYOUTS

from pondera.data.adapters import adapter_names, get_adapter
from pondera.data.adapters.restored import PIPAL, SRIQABench
from pondera.data.importers.published import LISTS
from pondera.data.importers.run import Imported, import_samples
from pondera.data.importers.sources import Options, open_source
from pondera.errors import DatasetError


def _import(name, root, *, check_media=True, partial=False) -> Imported:
    """As the command does it, but for the number of labels: a replica has a few."""
    source = open_source(name, root, Options())
    return import_samples(
        source.samples,
        title=source.title,
        source=source.origin,
        missing_labels=source.missing_labels,
        label_files=source.label_files,
        check_media=check_media,
        partial=partial,
    )


def test_every_data_set_that_is_read_has_a_layout_here():
    assert set(LAYOUTS) == set(adapter_names()) - {"lgvq"}


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_label_file_that_is_missing_is_named_with_where_it_comes_from(name, replica):
    LAYOUTS[name](replica)
    assert _import(name, replica.root, check_media=False).samples
    labels = list(replica.label_files)
    assert labels
    for path in labels:
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(DatasetError, match="missing") as caught:
            _import(name, replica.root, check_media=False)
        message = str(caught.value)
        assert path.relative_to(replica.root).as_posix() in message
        assert get_adapter(name).source in message
        path.write_bytes(content)
    assert _import(name, replica.root, check_media=False).samples


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name not in ("pipal", "sriqa-bench")])
def test_each_media_file_that_is_missing_is_named_by_the_name_that_it_should_have(name, replica):
    """Videos of YouTube-UGC may lie under three names, files found by name in any folder: the name is what counts."""
    LAYOUTS[name](replica)
    assert _import(name, replica.root).samples
    for path in replica.media_files:
        path.rename(path.with_suffix(".away"))
        with pytest.raises(DatasetError, match=r"missing \(1 of ") as caught:
            _import(name, replica.root)
        assert path.name.lower() in str(caught.value).lower()
        path.with_suffix(".away").rename(path)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("content", [b"", b"404: Not Found", b"<!DOCTYPE html>\n<html>\n</html>\n", bytes(range(256))])
def test_a_failed_download_in_place_of_a_label_file_is_named(name, content, replica):
    LAYOUTS[name](replica)
    for path in replica.label_files[:3]:
        whole = path.read_bytes()
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=re.escape(path.name)):
            _import(name, replica.root, check_media=False)
        path.write_bytes(whole)


def test_a_spreadsheet_that_is_none_is_named_with_the_way_out(replica):
    path = replica.root / "Annotations" / "MOS and Image attribute scores.xlsx"
    path.parent.mkdir()
    for content in (b"", b"<html>", b"PK\x03\x04 cut"):
        path.write_bytes(content)
        with pytest.raises(
            DatasetError, match=r"scores\.xlsx: not a spreadsheet that can be read .* Download it again"
        ):
            _import("spaq", replica.root, check_media=False)


@pytest.mark.parametrize("adapter", [PIPAL, SRIQABench])
def test_label_files_of_single_references_are_named_when_missing_or_cut_though_their_images_are_missing_too(
    adapter, replica
):
    LAYOUTS[adapter.name](replica)
    first, second, *_, last = replica.label_files
    first.unlink()
    second.write_text("".join(second.read_text().splitlines(keepends=True)[1:]))
    last.write_text("")
    with pytest.raises(DatasetError) as caught:
        _import(adapter.name, replica.root)
    folder, rows = first.parent.name, adapter.VERSIONS
    named = (
        f"{folder}/{first.name}, {folder}/{second.name} ({rows - 1} labels instead of {rows}), "
        f"{folder}/{last.name} (0 labels instead of {rows})"
    )
    assert f"{adapter.title}: 3 label files are missing or cut: {named}. Download it again from" in str(caught.value)
    for path in replica.label_files[2:]:
        path.unlink(missing_ok=True)
    with pytest.raises(
        DatasetError, match=rf"{len(adapter.REFERENCES)} label files .* and {len(adapter.REFERENCES) - 3} more"
    ):
        _import(adapter.name, replica.root)
    assert len(_import(adapter.name, replica.root, check_media=False, partial=True).samples) == rows - 1


@pytest.mark.parametrize("published", LISTS, ids=lambda published: published.name)
def test_each_file_of_a_published_list_that_is_missing_is_named(published, tmp_path):
    row = " ".join(
        {"mos": "3", "std": "1", "reference": "I01.png"}.get(column, "I01_1.png") for column in published.columns
    )
    for file, _, _ in published.files:
        (tmp_path / file).write_text(row.replace("I01_1", f"I01_{len(list(tmp_path.iterdir()))}") + "\n")
    assert len(_import(published.name, tmp_path, check_media=False).samples) == len(published.files)
    for file, _, _ in published.files:
        content = (tmp_path / file).read_text()
        (tmp_path / file).unlink()
        with pytest.raises(DatasetError, match="missing") as caught:
            _import(published.name, tmp_path, check_media=False)
        assert file in str(caught.value) and published.source in str(caught.value)
        (tmp_path / file).write_text(content)
