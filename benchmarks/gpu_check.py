"""What a GPU does with packed groups: are they exact, and how fast and large is an update? One JSON object.

    python benchmarks/gpu_check.py                          # one CUDA GPU, about two minutes
    python benchmarks/gpu_check.py --device cpu --small     # the rehearsal

Random models, nothing to download. `exact` sets packed rows beside padded ones, in float32 and bfloat16, for each
attention; `distance` is how far padded bfloat16 is from padded float32, the error that bfloat16 has without packing.
As in training, weights are float32 and bfloat16 is what autocast makes of them. `speed` times forward and backward in
bfloat16, vision tower included, and the memory above weights and gradients.
`trl` is `grpo_step.py` on the same device, left out where TRL is not installed. What fails is reported in its place, so
that the rest is not lost.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForImageTextToText, Qwen2_5_VLConfig

from pondera.models import EncodedPrompt, Family, flex_attention
from pondera.models.block_attention import use_block_attention
from pondera.models.nano import build_nano
from pondera.models.packing import Branch, pack, packed_logps

PAD, END, IMAGE, START, STOP, VIDEO = range(6)
PATCH_PX, MERGE, FRAMES = 14, 2, 2
QUESTION = "Rate the quality of this photograph from 1 to 5."


@dataclass(frozen=True)
class Size:
    """Of a random Qwen2.5-VL."""

    hidden: int
    layers: int
    heads: int
    vision_hidden: int
    vision_layers: int
    vocab: int = 32000


SMALL = Size(hidden=128, layers=2, heads=4, vision_hidden=64, vision_layers=2, vocab=512)
MIDDLE = Size(hidden=1024, layers=12, heads=16, vision_hidden=512, vision_layers=8)


def qwen(size: Size, device: str) -> Family:
    """A random Qwen2.5-VL in float32; it reads token ids and patches laid out by `qwen_prompt`."""
    head = size.hidden // size.heads
    text = {
        "hidden_size": size.hidden,
        "intermediate_size": 3 * size.hidden,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads // 4,
        "vocab_size": size.vocab,
        "max_position_embeddings": 8192,
        "rope_parameters": {
            "rope_type": "default",
            "mrope_section": [head // 8, head // 8, head // 4],
            "rope_theta": 10000.0,
        },
        "pad_token_id": PAD,
        "bos_token_id": None,
        "eos_token_id": END,
        "tie_word_embeddings": False,
    }
    vision = {
        "depth": size.vision_layers,
        "hidden_size": size.vision_hidden,
        "intermediate_size": 3 * size.vision_hidden,
        "num_heads": size.vision_hidden // 32,
        "out_hidden_size": size.hidden,
        "patch_size": PATCH_PX,
        "fullatt_block_indexes": [size.vision_layers - 1],
    }
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        vision_start_token_id=START,
        vision_end_token_id=STOP,
    )
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32)
    model.generation_config.eos_token_id = END
    return Family(
        model.to(device).eval(), SimpleNamespace(tokenizer=SimpleNamespace(pad_token_id=PAD, eos_token_id=END))
    )


def qwen_prompt(side: int, seed: int, vocab: int) -> EncodedPrompt:
    """An image of side x side tokens between a few words."""
    rng = np.random.default_rng(seed)
    words = [int(word) for word in rng.integers(VIDEO + 1, vocab, 30 + seed)]
    ids = (*words[:4], START, *[IMAGE] * side**2, STOP, *words[4:])
    pixels = rng.normal(size=((side * MERGE) ** 2, 3 * FRAMES * PATCH_PX**2)).astype(np.float32)
    grid = torch.tensor([[1, side * MERGE, side * MERGE]])
    return EncodedPrompt(ids, {"pixel_values": torch.from_numpy(pixels), "image_grid_thw": grid})


def nano(device: str) -> tuple[Family, list[EncodedPrompt]]:
    """A random nano model with two prompts of its own processor."""
    model, processor = build_nano([QUESTION] * 4, seed=0)
    family = Family(model.to(device).eval(), processor)
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (96, width, 3), dtype=np.uint8) for width in (128, 200)]
    return family, [family.encode([image], QUESTION) for image in images]


def groups(prompts: list[EncodedPrompt], group: int, length: int, vocab: int, *, is_even: bool) -> list[Any]:
    """The prompts with random completions, all of one length or of 1 to `length` tokens."""
    rng = np.random.default_rng(1)
    lengths = np.full((len(prompts), group), length) if is_even else rng.integers(1, length, (len(prompts), group))
    return [
        (prompt, [Branch.scored([int(token) for token in rng.integers(VIDEO + 1, vocab, n)]) for n in row])
        for prompt, row in zip(prompts, lengths, strict=True)
    ]


def choose(family: Family, attention: str) -> None:
    """Set the decoder's attention; the vision tower stays at SDPA."""
    if attention == "blocks":
        use_block_attention(family.model)
    elif attention == "flex":
        flex_attention.use_flex_attention(family.model)
    else:
        family.model.set_attn_implementation({"text_config": attention})


def update(family: Family, rows: list[Any], dtype: torch.dtype, *, is_padded: bool = False) -> torch.Tensor:
    """Leave gradients of a weighted sum of log-probabilities; return these, float32 [M]."""
    family.model.zero_grad()
    with torch.autocast(family.device.type, dtype, enabled=dtype != torch.float32):
        logp_M = packed_logps(family.model, pack(family, rows, is_padded=is_padded))[0]
    (logp_M * torch.linspace(-1, 1, len(logp_M), device=logp_M.device)).mean().backward()
    return logp_M.detach()


def gradient(family: Family) -> torch.Tensor:
    """All gradients as one vector, float32."""
    return torch.cat([p.grad.float().flatten() for p in family.model.parameters() if p.grad is not None])


def differences(
    found: tuple[torch.Tensor, torch.Tensor], expected: tuple[torch.Tensor, torch.Tensor]
) -> dict[str, float]:
    """Of log-probabilities, the largest; of gradients, relative to their norm."""
    return {
        "logp_max": float((found[0] - expected[0]).abs().max()),
        "gradient_rel": float((found[1] - expected[1]).norm() / expected[1].norm()),
    }


def exactness(family: Family, rows: list[Any], attentions: list[str]) -> dict[str, Any]:
    """Packed beside padded, by type and attention."""
    result: dict[str, Any] = {}
    exact = None
    for dtype in (torch.float32, torch.bfloat16):
        choose(family, "sdpa")
        padded = update(family, rows, dtype, is_padded=True), gradient(family)
        exact = exact or padded
        one: dict[str, Any] = {"distance": differences(padded, exact)} if dtype == torch.bfloat16 else {}
        for attention in attentions:
            one[attention] = attempted(lambda a=attention, d=dtype, p=padded: _packed(family, rows, a, d, p))
        result[str(dtype).removeprefix("torch.")] = one
    return result


def _packed(
    family: Family,
    rows: list[Any],
    attention: str,
    dtype: torch.dtype,
    padded: tuple[torch.Tensor, torch.Tensor],
) -> dict[str, float]:
    choose(family, attention)
    return differences((update(family, rows, dtype), gradient(family)), padded)


def speed(family: Family, options: argparse.Namespace, attentions: list[str], vocab: int) -> list[dict[str, Any]]:
    """Seconds and memory of an update, by visual tokens, group and attention."""
    table = []
    for side in options.sides:
        prompts = [qwen_prompt(side, 0, vocab) for _ in range(options.images)]
        for group in options.groups:
            rows = groups(prompts, group, options.tokens, vocab, is_even=True)
            row: dict[str, Any] = {"visual_tokens": side**2, "group": group}
            row["padded"] = attempted(lambda r=rows: _timed(family, r, "sdpa", options, is_padded=True))
            for attention in attentions:
                row[attention] = attempted(lambda r=rows, a=attention: _timed(family, r, a, options))
            for name in attentions:
                if "seconds" in row[name] and "seconds" in row["padded"]:
                    row[name]["padded_ratio"] = row["padded"]["seconds"] / row[name]["seconds"]
            table.append(row)
            print(json.dumps(row), file=sys.stderr)
    return table


def _timed(
    family: Family, rows: list[Any], attention: str, options: argparse.Namespace, *, is_padded: bool = False
) -> dict[str, float | None]:
    choose(family, attention)
    start = time.perf_counter()
    update(family, rows, torch.bfloat16, is_padded=is_padded)
    _settle(options.device)
    first_s = time.perf_counter() - start  # with compilation
    before = _reset_peak(options.device)
    seconds = []
    for _ in range(options.repeat):
        start = time.perf_counter()
        update(family, rows, torch.bfloat16, is_padded=is_padded)
        _settle(options.device)
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds), "first_s": first_s, "peak_mib": _peak_mib(options.device, before)}


def _settle(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _reset_peak(device: str) -> int:
    """Bytes in use, weights and gradients; the peak counts from here."""
    if device != "cuda":
        return 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def _peak_mib(device: str, before: int) -> float | None:
    return (torch.cuda.max_memory_allocated() - before) / 2**20 if device == "cuda" else None


def against_trl(options: argparse.Namespace) -> dict[str, Any]:
    """`grpo_step.py` on this device, at 1,024 visual tokens in a wider model where there is a GPU."""
    if importlib.util.find_spec("trl") is None:
        return {"left_out": "trl is not installed"}
    size = ["--image-px", "128", "--images", "1", "--group", "2", "--tokens", "4", "--repeat", "1"]
    if not options.small:
        size = ["--image-px", "1024", "--images", "2", "--width", "512", "--layers", "8"]
    script = Path(__file__).with_name("grpo_step.py")
    command = [sys.executable, str(script), "--json", "--rounds", "1", "--device", options.device, *size]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=options.trl_timeout_s)
    if done.returncode:
        raise RuntimeError(done.stderr[-1500:])
    return dict(json.loads(done.stdout))


def attempted(work: Callable[[], Any]) -> Any:
    """The result, or what went wrong."""
    try:
        return work()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:2000]}


def configuration(options: argparse.Namespace, size: Size) -> dict[str, Any]:
    """Where and on what this ran."""
    import transformers

    return {
        "device": torch.cuda.get_device_name() if options.device == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "speed_model": vars(size),
        "images": options.images,
        "completion_tokens": options.tokens,
        "repeat": options.repeat,
    }


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true", help="sizes for a rehearsal")
    parser.add_argument("--images", type=int, default=2, help="prompts of an update")
    parser.add_argument("--tokens", type=int, default=64, help="tokens of a completion")
    parser.add_argument("--repeat", type=int, default=5, help="timed updates")
    parser.add_argument("--trl-timeout-s", type=int, default=200)
    options = parser.parse_args()
    options.sides, options.groups = ((4, 8), (2, 4)) if options.small else ((16, 32), (8, 16))
    # Packed and padded rows make convolutions of different sizes, and TF32 would show as a difference.
    torch.backends.cudnn.allow_tf32 = False
    size = SMALL if options.small else MIDDLE
    attentions = ["sdpa", "eager", "blocks", *(["flex"] if options.device == "cuda" else [])]
    result: dict[str, Any] = {"configuration": configuration(options, size), "seconds": {}}
    if "flex" not in attentions:
        result["flex"] = "left out: torch has gradients of flex attention on GPUs only"

    def exact_nano() -> dict[str, Any]:
        family, prompts = nano(options.device)
        vocab = family.model.config.get_text_config().vocab_size
        return exactness(family, groups(prompts, 5, 40, vocab, is_even=False), attentions)

    def exact_qwen() -> dict[str, Any]:
        prompts = [qwen_prompt(side, seed, SMALL.vocab) for seed, side in enumerate((4, 7))]
        rows = groups(prompts, 5, 40, SMALL.vocab, is_even=False)
        return exactness(qwen(SMALL, options.device), rows, attentions)

    parts = {
        "exact_nano": exact_nano,
        "exact_qwen2_5_vl": exact_qwen,
        "speed": lambda: speed(qwen(size, options.device), options, attentions, size.vocab),
        "trl": lambda: against_trl(options),
    }
    for name, part in parts.items():
        start = time.perf_counter()
        result[name] = attempted(part)
        result["seconds"][name] = round(time.perf_counter() - start, 1)
        print(json.dumps({name: result[name]}), file=sys.stderr)  # what there is, should the time run out
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
