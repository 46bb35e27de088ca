"""The checks of every import, published lists, and data of one's own."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pondera.core.records import FIVE_POINT, LabelScale, Media, Sample
from pondera.data.importers.generic import deqa_samples, folder_samples
from pondera.data.importers.published import LISTS, get_list, list_samples
from pondera.data.importers.run import import_samples
from pondera.data.importers.sources import Options, open_source
from pondera.errors import ConfigError, DatasetError

ABOUT = {"title": "Set", "source": "https://example.org"}


def _sample(tmp_path, name, mos=2.0, there=True):
    if there:
        (tmp_path / name).write_text("x")
    return Sample(id=name, media=(Media(str(tmp_path / name)),), mos=mos, scale=FIVE_POINT)


def test_a_missing_file_is_named_with_its_source(tmp_path):
    samples = [
        _sample(tmp_path, "a.png"),
        _sample(tmp_path, "b.png", there=False),
        _sample(tmp_path, "c.png", there=False),
    ]
    with pytest.raises(
        DatasetError, match=r"b\.png: missing \(2 of 3 files of Set are\)\. .*https://example\.org.*--partial"
    ):
        import_samples(samples, **ABOUT)
    with pytest.raises(DatasetError, match=r"b\.png: missing .* --media DIR"):
        import_samples(samples, title="mine", source=None)
    partial = import_samples(samples, partial=True, **ABOUT)
    assert [sample.id for sample in partial.samples] == ["a.png"] and partial.num_without_files == 2
    assert len(import_samples(samples, check_media=False, **ABOUT).samples) == 3


def test_a_cut_label_file_is_not_a_whole_set(tmp_path):
    samples = [_sample(tmp_path, "a.png")]
    with pytest.raises(DatasetError, match="1 labels instead of 1,000: "):
        import_samples(samples, expected_count=1000, **ABOUT)
    with pytest.raises(DatasetError, match=r"1 labels instead of 1,000 \(a number from print\)"):
        import_samples(samples, expected_count=1000, count_from="print", **ABOUT)
    assert import_samples(samples, expected_count=1000, partial=True, **ABOUT).samples == tuple(samples)
    (warning,) = import_samples(samples, **ABOUT).warnings
    assert "1 labels read" in warning and "cannot be noticed" in warning and "https://example.org" in warning
    assert not import_samples(samples, title="mine", source=None).warnings


def test_a_split_of_another_size_is_said_with_the_files_that_were_counted(tmp_path):
    samples = [replace(_sample(tmp_path, name), split="train") for name in ("a.png", "b.png")]
    samples.append(_sample(tmp_path, "c.png"))
    about = {**ABOUT, "split_counts": {"train": 2, "test": 1}, "label_files": [Path("Set/t.csv")]}
    with pytest.raises(
        DatasetError,
        match=r"Set: split test has 0 labels instead of 1: a cut file or another release \(counted in Set/t\.csv\)",
    ):
        import_samples(samples, expected_count=3, **about)
    warnings = import_samples(samples, expected_count=4, partial=True, **about).warnings
    assert warnings == (
        "Set: taken in part: 3 labels instead of 4",
        "Set: taken in part: split test has 0 labels instead of 1",
        "Set: 1 labels are in no split: no table of the owner names them",
    )


def test_a_published_list_states_the_splits_and_files_that_are_counted(tmp_path):
    source = open_source("visualquality-r1/kadid10k", tmp_path, Options())
    assert source.split_counts == {"train": 6_125, "val": 2_000, "test": 2_000}
    assert [path.name for path in source.label_files][1] == "KADID-10K_val_set.txt"


@pytest.mark.parametrize("levels", [["a", 1, 0, 0, 0], 0.5, [None] * 5, [-1, 1, 0, 0, 0], [0] * 5, [0, 1, 0], []])
def test_shares_of_deqa_that_are_none_name_file_and_entry(tmp_path, levels):
    file = tmp_path / "d.json"
    file.write_text(json.dumps([{"image": "b.jpg", "gt_score_norm": 1.0, "level_probs": levels}]))
    with pytest.raises(DatasetError, match=r"d\.json:1 \(entry\): level_probs is .*, expected five shares"):
        list(deqa_samples(file, dataset="d", media=tmp_path))


def test_two_labels_for_one_sample_and_nothing_at_all_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"'a\.png' has 2 labels"):
        import_samples([_sample(tmp_path, "a.png")] * 2, **ABOUT)
    with pytest.raises(DatasetError, match="nothing to import"):
        import_samples([_sample(tmp_path, "z.png", there=False)], partial=True, **ABOUT)


def test_the_observed_range_is_that_of_the_whole_release_and_leaves_labels_alone(tmp_path):
    """The file with the best label is missing; the scale still reaches it."""
    samples = [_sample(tmp_path, "a.png", 2.0), _sample(tmp_path, "b.png", 3.0), _sample(tmp_path, "c.png", 4.0, False)]
    imported = import_samples(samples, label_range="observed", partial=True, **ABOUT)
    assert {sample.scale for sample in imported.samples} == {LabelScale(2.0, 4.0)}
    assert [sample.mos for sample in imported.samples] == [2.0, 3.0]
    with pytest.raises(DatasetError, match="no range to observe"):
        import_samples(samples[:1], label_range="observed", **ABOUT)


def _read(tmp_path, name, **files):
    for file, text in files.items():
        (tmp_path / f"{file}.txt").write_text(text)
    return list(list_samples(get_list(name), tmp_path, Path("media")))


def test_a_published_list_with_references_and_splits(tmp_path):
    files = {
        "KADID-10K_train_set": "I01.png I01_01_01.png 4.633587786259543 0.7042726744663603\n",
        "KADID-10K_val_set": "I07.png I07_01_01.png 4.56 0.7\n",
        "KADID-10K_test_set": "I19.png I19_01_01.png 1.0 0.7\n",
    }
    samples = _read(tmp_path, "visualquality-r1/kadid10k", **files)
    assert [sample.split for sample in samples] == ["train", "val", "test"]
    assert samples[0].id == "kadid10k/I01_01_01.png" and samples[0].reference == "kadid10k/I01"
    assert samples[0].mos_std is None and samples[0].meta == {"published_std": 0.7042726744663603}


def test_published_lists_read_commas_and_references_in_either_case(tmp_path):
    (video,) = _read(tmp_path, "preresq-r1/konvid1k", KoNViD_labels_cleaned="KoNViD_1k_videos/4542323058.mp4, 3.22\n")
    assert (video.kind, video.mos, video.path()) == ("video", 3.22, "media/KoNViD_1k_videos/4542323058.mp4")
    first, second = _read(tmp_path, "preresq-r1/tid2013", GT_TID2013="I01_01_1.bmp 4.02\ni01_01_2.bmp 4.05\n")
    assert first.content == second.content == "tid2013/I01"


def test_published_lists_have_the_counts_in_print():
    count_of = {published.name: published.expected_count for published in LISTS}
    assert len(count_of) == len(LISTS)
    assert count_of["visualquality-r1/kadid10k"] == 10_125 and count_of["preresq-r1/pipal"] == 23_200


def test_a_missing_list_and_an_unknown_one_say_what_to_do(tmp_path):
    with pytest.raises(DatasetError, match=r"GT_PIPAL\.txt: missing\. Download"):
        _read(tmp_path, "preresq-r1/pipal")
    with pytest.raises(ConfigError, match="preresq-r1/pipal"):
        get_list("preresq/pipal")


def test_a_folder_gives_unlabelled_images_and_videos(tmp_path):
    (tmp_path / "cats").mkdir()
    for name in ("a.png", "cats/b.mp4", "notes.txt"):
        (tmp_path / name).write_text("x")
    samples = list(folder_samples(tmp_path, dataset="mine"))
    assert [(s.id, s.kind, s.subset, s.mos) for s in samples] == [
        ("mine/a.png", "image", None, None),
        ("mine/cats/b.mp4", "video", "cats", None),
    ]
    with pytest.raises(DatasetError, match="no images or videos in it"):
        (tmp_path / "empty").mkdir()
        list(folder_samples(tmp_path / "empty", dataset="mine"))


def test_deqa_votes_run_from_worst_to_best(tmp_path):
    entry = {
        "id": "a.jpg->3.2", "image": "KONIQ/images/a.jpg", "gt_score": 77.4, "gt_score_norm": 4.4, "std": 13.0,
        "std_norm": 0.6, "level_probs": [0.5, 0.4, 0.1, 0.0, 0.0],
    }  # fmt: skip
    file = tmp_path / "train_koniq_7k.json"
    file.write_text(json.dumps([entry, {"image": "b.jpg", "gt_score_norm": 1.0}]))
    first, second = deqa_samples(file, dataset="koniq", media=tmp_path)
    assert first.votes == (0.0, 0.0, 0.1, 0.4, 0.5) and first.mos_std == 0.6 and first.split == "train"
    assert (first.mos, second.mos, second.votes) == (4.4, 1.0, None)


def test_sources_refuse_options_that_they_do_not_read(tmp_path):
    with pytest.raises(ConfigError, match="--scale means nothing to 'kadid10k'"):
        open_source("kadid10k", tmp_path, Options(scale=FIVE_POINT))
    with pytest.raises(ConfigError, match="--lower-is-better means nothing to 'folder'"):
        open_source("folder", tmp_path, Options(lower_is_better=True))
    with pytest.raises(ConfigError, match="--columns means nothing to 'preresq-r1/bid'"):
        open_source("preresq-r1/bid", tmp_path, Options(columns={"file": "x"}))
    with pytest.raises(ConfigError, match="csv needs --scale"):
        open_source("csv", tmp_path / "t.csv", Options())
    with pytest.raises(ConfigError, match="huggingface needs --media"):
        open_source("huggingface", tmp_path, Options(scale=FIVE_POINT))
