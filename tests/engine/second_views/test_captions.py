"""Captions: where they come from, written once."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pondera.config import CaptionView
from pondera.engine.second_views.captions import caption_from, caption_view
from pondera.errors import TrainingError
from tests.engine.second_views.plain import roll_out, samples_in, trainer_on


@pytest.mark.parametrize(
    ("completion", "caption"),
    [
        ("<think>Noise is poor, 2 of 5.</think>\n<answer>2.40</answer>", "Noise is poor, # of #."),
        ("<think>cut off in the", "cut off in the"),
        ("A dark street.\nGrain everywhere.", "A dark street. Grain everywhere."),
        ("<answer>2.40</answer>", ""),
        ("", ""),
    ],
)
def test_a_caption_is_the_thought_or_the_whole_text_without_its_numbers(completion, caption):
    assert caption_from(completion) == caption


def _tools(folder, samples):
    trainer = trainer_on(samples, folder)
    return trainer._tools(samples), trainer.backend


def test_the_model_writes_what_the_manifest_does_not_have_once(tmp_path):
    samples = samples_in(tmp_path)
    samples[0] = replace(samples[0], targets={"caption": "A wall."})
    tools, backend = _tools(tmp_path, samples)
    view = caption_view(CaptionView(), tools, samples)
    assert view.captions["s0"] == "A wall." and view.captions["s1"].startswith("The photo looks blurred; sharpness")
    lines = [json.loads(line) for line in (tmp_path / "captions.jsonl").read_text().splitlines()]
    assert lines == [{"sample": "s1", "caption": view.captions["s1"]}]
    assert len(backend.asked) == 1
    again = caption_view(CaptionView(), tools, samples)
    assert len(backend.asked) == 1 and again.captions == view.captions  # read, not written anew


def test_captions_of_the_model_alone_pass_over_the_manifests(tmp_path):
    samples = [replace(s, targets={"caption": "A wall."}) for s in samples_in(tmp_path)]
    tools, backend = _tools(tmp_path, samples)
    view = caption_view(CaptionView(source="model", question="Describe it."), tools, samples)
    assert "A wall." not in view.captions.values() and len(view.captions) == 2
    decoded = tools.family.decode(backend.asked[0][0][0].ids)
    assert "Describe it." in decoded and "Think first" not in decoded


def test_a_caption_missing_from_the_manifest_names_its_sample(tmp_path):
    samples = samples_in(tmp_path)
    tools, _ = _tools(tmp_path, samples)
    with pytest.raises(TrainingError, match=r"sample 's0' has no targets\.caption"):
        caption_view(CaptionView(source="manifest"), tools, samples)


def test_a_sample_with_an_empty_caption_does_without(tmp_path, caplog):
    samples = samples_in(tmp_path)
    (tmp_path / "captions.jsonl").write_text(
        '{"sample": "s0", "caption": ""}\n{"sample": "s1", "caption": "A clean wall."}\n', encoding="utf-8"
    )
    trainer = trainer_on(samples, tmp_path, system="cappo")
    assert "1 of 2 samples have an empty caption" in caplog.text
    side = trainer._side_arrays(roll_out(trainer, samples))["caption_kl"]
    assert np.isnan(side[0]).all() and np.isfinite(side[1]).all()
