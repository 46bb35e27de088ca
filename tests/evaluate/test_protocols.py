"""Protocols as data; leakage refused."""

import pytest
from PIL import Image

from pondera.core.records import FIVE_POINT, Media, Sample
from pondera.data.images import load_image
from pondera.data.photographs import list_photographs
from pondera.data.picture_hash import picture_hash
from pondera.errors import ConfigError, DatasetError
from pondera.evaluate.leakage import domains, find_leaks, refuse_leaks, without_tested
from pondera.evaluate.protocols import list_protocols, load_protocol
from pondera.models.loading import ModelCard, resolve


def _sample(name, dataset="koniq10k", split="test", reference=None, path=None):
    media = (Media(path or f"{name}.jpg"),)
    return Sample(id=name, media=media, dataset=dataset, split=split, reference=reference, mos=3.0, scale=FIVE_POINT)


@pytest.mark.parametrize("name", list_protocols())
def test_packaged_protocols_are_sound_and_name_their_sources(name):
    protocol = load_protocol(name)
    assert protocol.source
    trained = {part.dataset for part in protocol.trained_on}
    for test in protocol.tests:
        assert (test.domain == "in") == (test.dataset in trained)
        for part in protocol.trained_on:
            assert test.domain == "cross" or test.split not in (None, part.split)
    for published in protocol.published:
        assert published.source
        for results in published.systems.values():
            assert all(0 < value < 1 for pair in results.values() for value in pair if value is not None)


@pytest.mark.parametrize("name", list_protocols())
def test_datasets_of_protocols_are_those_of_the_adapters(name):
    registry = pytest.importorskip("pondera.data.adapters.registry")
    known = {known for known, _ in registry._BUILT_IN}
    protocol = load_protocol(name)
    assert {part.dataset for part in (*protocol.tests, *protocol.trained_on)} <= known


def test_published_numbers_are_quoted_as_srcc_then_plcc():
    """VisualQuality-R1 trained on KADID-10k, on BID: SRCC .790, PLCC .806 (arXiv:2505.14460, Table 2)."""
    (published,) = load_protocol("kadid-trained").published
    assert published.systems["VisualQuality-R1"]["bid"] == (0.790, 0.806)


def test_a_protocol_selects_its_splits_and_names_what_is_missing():
    samples = [_sample(f"a{i}", split=s) for i, s in enumerate(["train", "val", "test", "test"])]
    samples += [_sample("s", "spaq", None)]
    protocol = load_protocol("koniq-trained")
    chosen = protocol.select(samples)
    assert [s.id for s in chosen] == ["a2", "a3", "s"]
    facts = protocol.facts(protocol.rename(chosen))
    assert facts["domains"] == {"koniq10k": "in", "spaq": "cross"}
    assert facts["incomplete"] == {"koniq10k": "2 of 2015", "spaq": "1 of 11125"}
    assert "kadid10k" in facts["not_evaluated"]
    assert facts["protocol"].startswith("koniq-trained v2")


def test_numbers_measured_on_parts_of_a_set_do_not_stand_beside_the_whole_set():
    """DeQA-Score tests SPAQ, KADID-10k and PIPAL on 2,000 to 5,000 of their images (its scripts/infer.sh)."""
    (whole,), (parts,) = (load_protocol(name).published for name in ("koniq-trained", "koniq-trained-deqa"))
    assert not {"spaq", "kadid10k", "pipal"} & set().union(*whole.systems.values())
    assert parts.systems["DeQA-Score"]["spaq"] == (0.896, 0.895)
    assert all(whole.systems[name].items() <= row.items() for name, row in parts.systems.items())


def test_the_official_test_of_koniq_is_a_view_of_the_whole_set_in_the_protocol_of_preresq():
    """Its list holds all 10,073; the owner's table says which 2,015 are the official test."""
    protocol = load_protocol("preresq-images")
    assert protocol.view_places == {"koniq10k official test": ("koniq10k", "test")}
    assert list(protocol.columns)[1:4] == ["koniq10k", "koniq10k official test", "spaq"]
    samples = [_sample(f"a{i}", split=s) for i, s in enumerate(["train", "test", "test"])]
    chosen = protocol.rename(protocol.select(samples))
    assert [(s.id, s.dataset) for s in chosen] == [("a0", "koniq10k"), ("a1", "koniq10k"), ("a2", "koniq10k")]
    facts = protocol.facts(chosen)
    assert facts["incomplete"] == {"koniq10k": "3 of 10073", "koniq10k official test": "2 of 2015"}
    assert "koniq10k official test" not in facts["not_evaluated"]
    without_splits = protocol.facts(protocol.rename(protocol.select([_sample("a", split=None)])))
    assert "koniq10k official test" in without_splits["not_evaluated"]
    assert facts["protocol"].startswith("preresq-images v2")


@pytest.mark.parametrize(
    ("view", "says"),
    [
        ("{name: v, dataset: b, split: test}", "view 'v' is of dataset 'b', which is not tested whole"),
        ("{name: v, dataset: c, split: test}", "view 'v' is of dataset 'c', which is not tested whole"),
        ("{name: a, dataset: a, split: test}", "two tests or views have one name"),
        ("{name: v, dataset: a}", "views.0.split"),
    ],
)
def test_a_view_is_a_split_of_a_set_that_is_tested_whole(tmp_path, view, says):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "{version: 1, title: t, plcc: raw, source: s, trained_on: [], tests: [{dataset: a, domain: cross}, "
        f"{{dataset: b, split: val, domain: cross}}], views: [{view}]}}"
    )
    with pytest.raises(ConfigError, match=says):
        load_protocol(str(path))


def test_two_splits_of_one_dataset_are_two_tests():
    samples = [_sample("a", "lsvq", "test"), _sample("b", "lsvq", "test_1080p"), _sample("c", "lsvq", "train")]
    protocol = load_protocol("lsvq-trained")
    assert [s.dataset for s in protocol.rename(protocol.select(samples))] == ["lsvq-test", "lsvq-1080p"]


def test_samples_that_a_protocol_does_not_know_are_refused():
    protocol = load_protocol("biq2021")
    with pytest.raises(DatasetError, match="dataset 'spaq', which protocol 'biq2021' does not test"):
        protocol.select([_sample("x", "spaq")])
    with pytest.raises(DatasetError, match=r"no sample is of a part .* biq2021 \(test\)"):
        protocol.select([_sample("x", "biq2021", "train")])


def test_a_mistyped_name_gets_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean 'koniq-trained'"):
        load_protocol("koniq-traind")


def test_a_protocol_of_ones_own_is_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "version: 2\ntitle: mine\nplcc: 4p\nsource: me\ntrained_on: []\n"
        "tests: [{dataset: phones, split: test, domain: cross}]\n"
    )
    protocol = load_protocol(str(path))
    assert (protocol.name, protocol.plcc_key) == ("mine", "plcc_4p")
    path.write_text(path.read_text().replace("version: 2", "version: 0"))
    with pytest.raises(ConfigError, match=r"mine.yaml: version: "):
        load_protocol(str(path))
    path.write_text(
        "version: 1\ntitle: t\nplcc: raw\nsource: me\ntrained_on: []\n"
        "tests: [{dataset: a, domain: cross}, {name: b, dataset: a, split: test, domain: cross}]\n"
    )
    with pytest.raises(ConfigError, match="tested on twice"):
        load_protocol(str(path))
    path.write_text("just text")
    with pytest.raises(ConfigError, match="not a protocol"):
        load_protocol(str(path))
    with pytest.raises(ConfigError, match="no such file"):
        load_protocol(str(tmp_path / "none.yaml"))


def test_the_same_content_or_the_same_file_in_training_is_a_leak(tmp_path):
    (tmp_path / "one.jpg").write_bytes(b"pixels")
    (tmp_path / "copy.jpg").write_bytes(b"pixels")
    (tmp_path / "free.jpg").write_bytes(b"others")
    train = [_sample("t1", split="train", path=str(tmp_path / "one.jpg")), _sample("t2", "kadid10k", "train", "I01")]
    tested = [
        _sample("copied", "spaq", path=str(tmp_path / "copy.jpg")),
        _sample("same scene", "kadid10k", reference="I01"),
        _sample("other set, same name", "tid2013", reference="I01", path=str(tmp_path / "free.jpg")),
    ]
    leaks = find_leaks(tested, train)
    assert [(leak.dataset, leak.num_samples) for leak in leaks] == [("kadid10k", 1), ("spaq", 1)]
    with pytest.raises(DatasetError, match="--allow-leakage"):
        refuse_leaks(leaks)
    refuse_leaks([])


@pytest.mark.parametrize(("name", "reference", "leaks"), [
    ("tid2013", "I01", True), ("tid2013", "I25", False), ("live", "bikes", True), ("csiq", "1600", False),
    ("synthetic-video", "kodak-01", True), ("synthetic-video", "kodak-03", False),
])  # fmt: skip
def test_photographs_that_another_set_in_training_is_made_from_are_a_leak(name, reference, leaks):
    tested = [_sample("a", name, "test", reference)]
    found = find_leaks(tested, [], trained_on=["synthetic"])
    assert bool(found) is leaks
    assert all("shared origin" in str(leak) for leak in found)
    assert bool(find_leaks(tested, [_sample("b", "synthetic", "train", "kodak-01", "b.png")])) is leaks


@pytest.fixture
def copies(tmp_path):
    """Half-size JPEG copies of a bundled training photograph (1) and of a test one (3), in a data set of a user."""
    samples = []
    for path in (list_photographs()[0], list_photographs()[2]):
        copy = tmp_path / f"{path.stem}-copy.jpg"
        Image.fromarray(load_image(path)).reduce(2).save(copy, quality=50)
        samples.append(_sample(path.stem, "holiday", None, path=str(copy)))
    return samples


def test_bundled_training_photographs_are_known_under_another_name(copies):
    (leak,) = find_leaks(copies, [], trained_on=["synthetic"])
    assert str(leak) == "holiday: 1 samples, the same pictures are in training, under another name"
    assert domains({"h": copies}, ["synthetic"], leaks=[leak]) == {"h": "shared origin"}
    assert find_leaks(copies, [], trained_on=["csiq"]) == []
    assert "synthetic" in ModelCard.read(resolve("nano")).trained_on  # so that the packaged model is refused


def test_pictures_on_the_model_card_are_known_under_another_name(copies):
    known = [picture_hash(list_photographs()[2])]
    assert [leak.num_samples for leak in find_leaks(copies, [], ["csiq"], known)] == [1]
    assert find_leaks(copies, [], ["holiday"], known) != []  # its split is not named
    held_out = [_sample(s.id, "holiday", "test", path=s.path()) for s in copies]
    assert find_leaks(held_out, [], ["holiday"], known) == []  # the owner's division is not questioned


def test_own_photographs_and_a_held_out_split_of_the_same_set_are_no_shared_origin():
    assert find_leaks([_sample("a", "tid2013", "test", "I01")], [_sample("b", "synthetic", "train", "mine")]) == []
    assert find_leaks([_sample("a", "synthetic", "test", "kodak-05")], [], trained_on=["synthetic"]) == []


def test_no_baseline_learns_from_a_set_with_the_photographs_of_a_tested_one(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    live, csiq = (_sample("t", name, "train", "x", str(tmp_path / "a")) for name in ("live", "csiq"))
    tested = [_sample("a", "tid2013", "test", "I01", str(tmp_path / "b"))]
    assert without_tested([live, csiq], tested) == [csiq]


def test_files_that_are_not_there_do_not_count_as_equal():
    assert find_leaks([_sample("a", path="gone.jpg")], [_sample("b", "spaq", path="gone.jpg")]) == []


@pytest.mark.parametrize(("split", "leaks"), [("train", True), (None, True), ("test", False), ("val", False)])
def test_a_dataset_on_the_model_card_may_be_tested_on_its_held_out_split_only(split, leaks):
    assert bool(find_leaks([_sample("a", split=split)], [], trained_on=["koniq10k"])) is leaks


def test_manifests_without_a_dataset_name_are_not_taken_for_one_another():
    assert find_leaks([_sample("a", "default", None)], [], trained_on=["default"]) == []


def test_domains_follow_the_model_card():
    tested = {"part of a": [_sample("x", "a")], "b": [_sample("y", "b")]}
    assert domains(tested, ["a"]) == {"part of a": "in", "b": "cross"}
    assert domains(tested, []) == {"part of a": "unknown", "b": "unknown"}


def test_a_set_made_from_photographs_of_training_is_no_cross_domain():
    tested = {"tid2013": [_sample("x", "tid2013", reference="I25"), _sample("y", "tid2013", reference="I01")]}
    assert domains(tested, ["live"]) == {"tid2013": "shared origin"}
    assert domains({"tid2013": tested["tid2013"][:1]}, ["live"]) == {"tid2013": "cross"}  # the artificial one
    assert domains(tested, ["csiq"], [_sample("t", "synthetic", "train", "kodak-01")]) == {"tid2013": "shared origin"}


def test_a_protocol_marks_a_cross_set_of_the_same_photographs_as_shared_origin(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "{version: 1, title: t, plcc: raw, source: s, trained_on: [{dataset: live}], tests: ["
        "{name: tid, dataset: tid2013, domain: cross}, {dataset: csiq, domain: cross}]}"
    )
    protocol = load_protocol(str(tmp_path / "mine.yaml"))
    samples = protocol.select([_sample("x", "tid2013", None, "I01"), _sample("y", "csiq", None, "1600")])
    assert protocol.facts(protocol.rename(samples))["domains"] == {"tid": "shared origin", "csiq": "cross"}
