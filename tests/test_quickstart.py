"""The whole pipeline at a size that teaches nothing, from photographs to the report, interrupted and gone on."""

from __future__ import annotations

import json

import pytest

from pondera.quickstart import Size, run_quickstart

TINY = Size(per_reference={"train": 2, "val": 3, "test": 4}, dead_leaves=1)
SMALL = (
    "model.vision_from=null",
    "model.hidden_size=32",
    "model.num_layers=1",
    "model.vision_widths=[8, 16]",
    "model.tile_px=32",
    "prompts.max_new_tokens=72",
    "data.validation_samples=4",
    "stages.cold_start.epochs=60",
    "stages.reinforce.steps=2",
    "stages.reinforce.samples_per_step=4",
    "stages.reinforce.group_size=3",
)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # worker processes and the library's trainer may warn; the result is what counts
def test_quickstart_runs_from_photographs_to_report_and_goes_on_where_it_was(tmp_path, capsys):
    report = run_quickstart(tmp_path, size=TINY, overrides=SMALL)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert set(summary["systems"]) == {"measuring teacher", "cold start", "reinforced", "its expected score"}
    assert summary["systems"]["measuring teacher"]["n"] == 32
    page = report.read_text(encoding="utf-8")
    assert "reinforced" in page and "<script" not in page.lower().replace("<script>alert", "")
    made = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("model.safetensors")}
    assert run_quickstart(tmp_path, size=TINY, overrides=SMALL) == report
    assert {p: p.stat().st_mtime_ns for p in made if "final" not in p.parts} == {
        p: t for p, t in made.items() if "final" not in p.parts
    }
    assert "reinforcement adds" in capsys.readouterr().out
