"""Clips that a family's own processor takes: placeholders, times and positions of Qwen2.5-VL, packed and sampled."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pondera.data.presentation import Footage
from pondera.errors import ModelError
from pondera.generate.transformers_backend import TransformersBackend
from pondera.models import EncodedPrompt, Family
from pondera.models.packing import Branch, pack, packed_logps
from tests.models import stock

VIDEO = 39


def _family() -> Family:
    config = stock.qwen_config()
    config.vision_config.tokens_per_second = 2
    family = stock.stock_family(config)
    family.tokenizer.decode = lambda ids, **_: " ".join(map(str, ids))
    return family


def _prompt(grid: tuple[int, int, int], seconds: float, *, seed: int, image: bool = False) -> EncodedPrompt:
    """Two words, a clip of the grid (in tokens), an image of 1 x 2 tokens if wanted, three words."""
    generator = torch.Generator().manual_seed(seed)
    time, rows, columns = grid
    ids = [7, 8, stock.START, *[VIDEO] * (time * rows * columns), stock.STOP]
    patches = time * rows * columns * 4
    media = {
        "pixel_values_videos": torch.randn(patches, 3 * 2 * 4 * 4, generator=generator),
        "video_grid_thw": torch.tensor([[time, 2 * rows, 2 * columns]]),
        "second_per_grid_ts": torch.tensor([seconds]),
    }
    if image:
        ids += [stock.START, stock.IMAGE, stock.IMAGE, stock.STOP]
        media |= {"pixel_values": torch.randn(8, 96, generator=generator), "image_grid_thw": torch.tensor([[1, 2, 4]])}
    return EncodedPrompt((*ids, 10, 11, 12), media)


PROMPTS = [_prompt((3, 1, 2), 1.5, seed=0), _prompt((2, 2, 2), 0.25, seed=1, image=True)]


def test_time_counts_in_seconds_and_text_goes_on_behind_the_last_moment():
    """2 tokens a second, 1.5 s between grids: times 3, 6, 9 behind three tokens; the text goes on at 10, not at 5."""
    position_AT = _family().positions(PROMPTS[0])
    assert position_AT[0].tolist() == [0, 1, 2, 3, 3, 6, 6, 9, 9, 10, 11, 12, 13]
    assert position_AT[1].tolist() == [0, 1, 2, *[3] * 6, 10, 11, 12, 13]
    assert position_AT[2].tolist() == [0, 1, 2, *[3, 4] * 3, 10, 11, 12, 13]


def test_half_a_grid_of_time_is_not_cut_off_and_a_short_clip_moves_nothing():
    """2 tokens a second, 0.25 s between grids: times 0 and 0.5; rows end at 1, text goes on at 2 from the start."""
    position_AT = _family().positions(PROMPTS[1])
    assert position_AT[0].tolist() == [0, 1, 2, *[3] * 8, 5, 6, 7, 7, 9, 10, 11, 12]
    assert position_AT[2].tolist() == [0, 1, 2, *[3, 4] * 4, 5, 6, 7, 8, 9, 10, 11, 12]


def _separate_logps(family: Family, prompt: EncodedPrompt, ids: list[int]) -> torch.Tensor:
    """One unpadded sequence; the answer is counted on from the last word of the prompt."""
    own_AT = family.positions(prompt)
    behind = own_AT[:, -1:] + 1 + torch.arange(len(ids))
    tokens = torch.tensor([[*prompt.ids, *ids]])
    logits = family.model(
        input_ids=tokens, position_ids=torch.cat([own_AT, behind], 1)[:, None], **prompt.media, use_cache=False
    ).logits[0]
    return logits[len(prompt.ids) - 1 : -1].log_softmax(-1).gather(1, torch.tensor(ids)[:, None]).squeeze(1)


def _gradients(family: Family, logp_M: torch.Tensor) -> dict[str, torch.Tensor]:
    family.model.zero_grad()
    (logp_M * torch.linspace(-1, 1, len(logp_M))).sum().backward()
    return {n: p.grad.clone() for n, p in family.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("is_padded", [False, True])
def test_packed_padded_and_separate_agree_in_logps_and_gradients(is_padded):
    family = _family()
    groups = list(zip(PROMPTS, stock.random_branches(2, 3), strict=True))
    separate = torch.cat([_separate_logps(family, prompt, ids) for prompt, branches in groups for ids in branches])
    expected = _gradients(family, separate)
    batch = pack(family, [(p, [Branch.scored(ids) for ids in row]) for p, row in groups], is_padded=is_padded)
    assert batch.mask.ndim == (2 if is_padded else 4)
    together = packed_logps(family.model, batch)[0]
    torch.testing.assert_close(together, separate, rtol=0, atol=1e-5)
    gradients = _gradients(family, together)
    assert gradients.keys() == expected.keys() and any("visual" in name for name in expected)
    norm = torch.stack([g.norm() for g in expected.values()]).norm()
    difference = torch.stack([(gradients[n] - g).norm() for n, g in expected.items()]).norm()
    assert float(difference / norm) < 1e-5


def test_the_clip_and_its_times_matter():
    """Or the tests above would compare answers that are blind."""
    family, branch = _family(), [5, 6, 7]
    plain = _separate_logps(family, PROMPTS[0], branch)
    for name, value in (("pixel_values_videos", 0.0), ("second_per_grid_ts", 4.0)):
        changed = EncodedPrompt(PROMPTS[0].ids, PROMPTS[0].media | {name: PROMPTS[0].media[name] * 0 + value})
        assert (_separate_logps(family, changed, branch) - plain).abs().max() > 1e-3


@torch.no_grad()
def test_the_log_probabilities_of_a_roll_out_are_those_of_the_update():
    family = _family()
    groups = TransformersBackend(family).generate(
        PROMPTS, num_completions=3, max_new_tokens=6, temperature=1.0, seeds=[1, 2]
    )
    batch = pack(family, [(p, [Branch.scored(c.ids) for c in row]) for p, row in zip(PROMPTS, groups, strict=True)])
    sampled = torch.tensor([logp for row in groups for c in row for logp in c.logps])
    torch.testing.assert_close(packed_logps(family.model, batch)[0], sampled, rtol=0, atol=1e-5)


FOOTAGE = Footage(np.random.default_rng(0).integers(0, 256, (6, 16, 24, 3), dtype=np.uint8), rate=1.5)


class _Recorder:
    """Stands in for a processor: keeps what it was given."""

    video_processor = object()
    tokenizer = SimpleNamespace(pad_token_id=0, eos_token_id=1)

    def __call__(self, text, **options):
        self.text, self.options = text, options
        return {"input_ids": [[5, VIDEO, 6]], "attention_mask": [[1, 1, 1]], "second_per_grid_ts": [2 / 1.5]}

    def apply_chat_template(self, messages, **_):
        return "".join(part.get("text", f"<{part['type']}>") for part in messages[0]["content"])


def test_a_processor_is_given_all_frames_with_their_rate_and_told_not_to_sample():
    recorder = _Recorder()
    prompt = Family(_family().model, recorder).encode(["Watch.", FOOTAGE], "Rate it.")
    assert recorder.text == ["Watch.<video>Rate it."]
    (frames,), (metadata,) = recorder.options["videos"], recorder.options["video_metadata"]
    assert frames is FOOTAGE.frames and recorder.options["do_sample_frames"] is False
    assert metadata == {"total_num_frames": 6, "fps": 1.5, "frames_indices": [0, 1, 2, 3, 4, 5]}
    assert prompt.source is None and set(prompt.media) == {"second_per_grid_ts"}


def test_a_family_without_videos_says_how_to_show_them():
    with pytest.raises(ModelError, match=r"takes no clips.*view\.video to sequence"):
        stock.processed_idefics().encode([FOOTAGE], "Rate it.")


def test_the_processor_of_qwen_makes_the_tokens_times_and_pixels_of_a_clip():
    """6 frames at 1.5 a second are 3 grids, 2 / 1.5 s apart; 16 x 24 pixels are 2 x 3 tokens of 8 pixels."""
    pytest.importorskip("torchvision")
    family = stock.processed_qwen()
    prompt = family.encode(["Watch.", FOOTAGE], "Rate it.")
    assert prompt.ids.count(family.video_token_id) == 3 * 2 * 3
    assert prompt.media["video_grid_thw"].tolist() == [[3, 4, 6]]
    assert prompt.media["second_per_grid_ts"].tolist() == pytest.approx([2 / 1.5])
    assert set(prompt.media) == {"pixel_values_videos", "video_grid_thw", "second_per_grid_ts"}
    start = prompt.ids.index(family.video_token_id)
    times = family.positions(prompt)[0, start : start + 18 : 6] - start
    assert times.tolist() == [0, 2, 5]  # 2 tokens a second: 0, 2.67, 5.33, rounded down
    branches = [Branch.scored(family.encode_text(text)) for text in ("good", "poor, very poor")]
    with torch.no_grad():
        packed, padded = (
            packed_logps(family.model, pack(family, [(prompt, branches)], is_padded=p))[0] for p in (0, 1)
        )
    torch.testing.assert_close(packed, padded, rtol=0, atol=1e-5)
