"""The whole video pipeline at a size that teaches nothing, interrupted and gone on."""

from __future__ import annotations

import json
import math

import pytest

pytest.importorskip("av")

from pondera.config import load_recipe
from pondera.data.moving_clips import ClipSettings
from pondera.prompts import get
from pondera.quickstart_video import PARTS, SHUFFLED, Size, part_srcc, run_quickstart_video
from pondera.teach import VideoMeasuringTeacher

TINY = Size(
    ClipSettings({"train": 1, "val": 1, "test": 1}, versions=6, num_frames=12, size=(64, 48)),
    contents=("kodak-01", "kodak-02", "kodak-03", "kodak-04", "kodak-08"),
)
SMALL = (
    "model.vision_from=null",
    "model.hidden_size=32",
    "model.num_layers=1",
    "model.vision_widths=[8, 16]",
    "model.tile_px=32",
    "prompts.max_new_tokens=96",
    "data.validation_samples=4",
    "stages.cold_start.epochs=40",
    "stages.cold_start.batch_size=6",
    "stages.reinforce.steps=2",
    "stages.reinforce.samples_per_step=4",
    "stages.reinforce.group_size=4",
)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # worker processes and the library's trainer may warn; the result is what counts
def test_quickstart_video_runs_from_photographs_to_report_and_goes_on_where_it_was(tmp_path, capsys):
    report = run_quickstart_video(tmp_path, size=TINY, overrides=SMALL)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert set(summary["parts"]) == {"measuring teacher", "cold start", "reinforced", SHUFFLED}
    assert all(set(parts) == set(PARTS) for parts in summary["parts"].values())
    in_order, mixed = (summary["parts"][name]["all clips"] for name in ("reinforced", SHUFFLED))
    change = summary["shuffling"]["all clips"]["srcc"]["difference"]
    assert change == pytest.approx(mixed - in_order, nan_ok=True)
    made = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("stages/*/model/model.safetensors")}
    assert run_quickstart_video(tmp_path, size=TINY, overrides=SMALL) == report
    assert {p: p.stat().st_mtime_ns for p in made} == made
    assert "pondera score clip.mp4 --model" in capsys.readouterr().out


def test_the_recipe_asks_for_what_the_teacher_answers():
    recipe = load_recipe("quickstart-video")
    form = get(recipe.prompts.reason).answer
    assert VideoMeasuringTeacher(form=form).form == form  # it refuses a form that it has no answer of
    assert form.body.names == ("global", "local")


def test_parts_are_told_apart_by_what_was_done():
    def row(mos: float, score: float, *types: str) -> dict[str, object]:
        return {
            "valid": True,
            "mos": mos,
            "score": score,
            "distortions": [{"type": name, "level": 1} for name in types],
        }

    codecs = [row(float(n), float(n), "h264") for n in range(3)]
    faults = [row(float(n), -float(n), "freeze", "flicker") for n in range(3)]
    both = [row(9.0, 0.0, "freeze", "h264"), row(5.0, 5.0)]
    found = part_srcc([*codecs, *faults, *both])
    assert found["codecs alone"] == pytest.approx(1) and found["faults of time alone"] == pytest.approx(-1)
    assert math.isnan(part_srcc(both)["codecs alone"])
