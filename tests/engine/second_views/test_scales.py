"""What second views read on a prompt's scale reaches the reward on the system's."""

from types import SimpleNamespace

import pytest
import torch

from pondera.core.presets import get_system
from pondera.core.records import FIVE_POINT, LabelScale, Sample
from pondera.engine.second_views import thoughts
from pondera.models import ModelCard

UNIT = ModelCard("short.unit", "short.unit.fast")


def test_a_score_read_from_a_thought_is_moved_to_the_working_scale(monkeypatch):
    system = get_system("q-ponder-text").asked_on(LabelScale(0.0, 1.0))
    family = SimpleNamespace(
        encode=lambda pictures, text: SimpleNamespace(ids=(1,), media=None), encode_text=lambda text: (2,)
    )
    monkeypatch.setattr(thoughts, "expected_scores", lambda family, read, body: (torch.full((len(read),), 0.75), None))
    group = [SimpleNamespace(text="<think>dull</think><answer>0.50</answer>")] * 2
    rollouts = SimpleNamespace(questions=["Rate it."], samples=[Sample("a", ())], groups=[group])
    tools = SimpleNamespace(reference=lambda: family, card=UNIT, system=system)
    assert thoughts.TextOnly(tools).side_arrays(rollouts)["text_score"].tolist() == [[4.0, 4.0]]


@pytest.mark.parametrize(("asked", "written"), [(LabelScale(1.0, 5.0), "3.00"), (LabelScale(0.0, 1.0), "0.50")])
def test_a_label_is_written_into_an_answer_on_the_scale_that_was_asked_for(asked, written):
    system = get_system("refine-iqa", stage="scoring").asked_on(asked)
    view = thoughts.Thought(SimpleNamespace(system=system, card=UNIT))
    assert view._label(Sample("a", (), mos=3.0, scale=FIVE_POINT)) == written
