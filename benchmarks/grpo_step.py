"""One GRPO step on a tiny Idefics3, beside TRL's GRPOTrainer: time, peak memory, and whether both compute the same.

    python benchmarks/grpo_step.py --json
    python benchmarks/grpo_step.py --json --group 16
    python benchmarks/grpo_step.py --json --image-px 1024 --images 1      # 1,024 visual tokens
    python benchmarks/grpo_step.py --json --device cuda --attention sdpa --width 512 --layers 8

Both sides run the same randomly initialised model, images and settings, in processes of their own, in turns. An update
is forward, backward and AdamW on the same given tokens and advantages; a step is that plus the side's own roll-out of
as many tokens, with its image processing and a reward. Neither side checkpoints activations. Peak memory is what the
first update adds to the memory of the process that holds the model, inputs included: resident memory, or that of the
GPU. TRL is no dependency of Pondera: `pip install trl==1.16.0` first.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, Idefics3Config, Idefics3Processor, LlamaConfig
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from pondera.engine.objective import aggregate, clipped_policy_loss
from pondera.generate.transformers_backend import TransformersBackend
from pondera.models import Family
from pondera.models.block_attention import use_block_attention
from pondera.models.flex_attention import use_flex_attention
from pondera.models.nano.tokenizer import CHAT_TEMPLATE, train_tokenizer
from pondera.models.packing import Branch, pack, packed_logps

QUESTION = "Rate the quality of this photograph from 1 to 5. Think first, then answer."
PATCH_PX, SHUFFLE = 16, 2


def build(options: argparse.Namespace) -> tuple[Any, Idefics3Processor]:
    """A random Idefics3 whose images become (image_px / 32)^2 tokens, and its processor."""
    image_px = options.image_px
    tokenizer = train_tokenizer([QUESTION])
    edge = {"longest_edge": image_px}
    pixels = Idefics3ImageProcessorPil(do_image_splitting=False, size=edge, max_image_size=edge)
    num_visual = (image_px // PATCH_PX // SHUFFLE) ** 2
    # The processor adds tokens of its own, so it comes before the model.
    processor = Idefics3Processor(pixels, tokenizer, image_seq_len=num_visual, chat_template=CHAT_TEMPLATE)
    sizes = {"hidden_size": options.width, "intermediate_size": options.width * 8 // 3}
    sizes |= {"num_hidden_layers": options.layers, "num_attention_heads": options.width // 32}
    config = Idefics3Config(
        text_config=LlamaConfig(
            **sizes,
            vocab_size=len(tokenizer),
            max_position_embeddings=4096,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
        ),
        vision_config=sizes | {"image_size": image_px, "patch_size": PATCH_PX},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=SHUFFLE,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return model.to(options.device), processor


class Task:
    """What both sides are given.

    Args:
        options: the command line.
        vocab_size: of the tokenizer.
    """

    def __init__(self, options: argparse.Namespace, vocab_size: int) -> None:
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 256, (options.images, 96, 128, 3), dtype=np.uint8)
        shape = (options.images, options.group, options.tokens)
        self.ids = rng.integers(10, vocab_size - 20, shape).tolist()  # special tokens stand at both ends
        advantage_N = torch.tensor(rng.normal(size=options.images * options.group), dtype=torch.float32)
        self.advantage_N = advantage_N.to(options.device)


def reward(completions: Sequence[Any], **_: Any) -> list[float]:
    """How varied the text is; costs nothing. TRL hands over messages, we hand over text."""
    return [len(set(str(completion))) / 100 for completion in completions]


class Ours:
    """Shared-prefix roll-out and packed update."""

    def __init__(self, options: argparse.Namespace, model: Any, processor: Idefics3Processor) -> None:
        self.options, self.model = options, model
        self.family = Family(model, processor)
        self.family.stop_ids = frozenset()  # every completion has its full length, as on the other side
        self.backend = TransformersBackend(self.family)
        if options.attention == "blocks":
            use_block_attention(model)
        elif options.attention == "flex":
            use_flex_attention(model)

    def roll_out(self, task: Task) -> None:
        """Encode, sample, reward."""
        prompts = [self.family.encode([image], QUESTION) for image in task.images]
        groups = self.backend.generate(
            prompts,
            num_completions=self.options.group,
            max_new_tokens=self.options.tokens,
            temperature=1.0,
            seeds=range(len(prompts)),
        )
        assert all(len(c.ids) == self.options.tokens for group in groups for c in group)
        for group in groups:
            reward([completion.text for completion in group])

    def inputs(self, task: Task) -> Any:
        """What an update starts from."""
        prompts = [self.family.encode([image], QUESTION) for image in task.images]
        return [(p, [Branch.scored(ids) for ids in group]) for p, group in zip(prompts, task.ids, strict=True)]

    def loss(self, inputs: Any, task: Task) -> torch.Tensor:
        """The GRPO objective."""
        batch = pack(self.family, inputs)
        logp_M, _ = packed_logps(self.model, batch, with_entropy=True)
        loss_M = clipped_policy_loss(
            logp_M, logp_M.detach(), task.advantage_N[batch.branch_M], clip_low=0.2, clip_high=0.2
        )
        return aggregate(loss_M, batch.branch_M, len(task.advantage_N), how="grpo", max_tokens=self.options.tokens)

    def logps(self, inputs: Any) -> torch.Tensor:
        """Of all tokens, completion after completion."""
        return packed_logps(self.model, pack(self.family, inputs))[0]

    def num_columns(self, inputs: Any) -> int:
        """Tokens that the decoder reads in an update."""
        return pack(self.family, inputs).input_ids.numel()


class Trl:
    """TRL's GRPOTrainer."""

    def __init__(self, options: argparse.Namespace, model: Any, processor: Idefics3Processor, folder: Path) -> None:
        from datasets import Dataset
        from trl import GRPOConfig, GRPOTrainer

        self.options = options
        arguments = GRPOConfig(
            output_dir=str(folder),
            use_cpu=options.device == "cpu",
            bf16=False,
            report_to=[],
            per_device_train_batch_size=options.images * options.group,
            num_generations=options.group,
            max_completion_length=options.tokens,
            loss_type="grpo",
            gradient_checkpointing=False,
            generation_kwargs={"min_new_tokens": options.tokens},
        )
        rows = Dataset.from_list([{"prompt": "x"}] * options.images)  # only asked for its length
        self.trainer = GRPOTrainer(model, [reward], arguments, rows, processing_class=processor)
        self.trainer.current_gradient_accumulation_steps = 1

    def _rows(self, task: Task) -> list[dict[str, Any]]:
        prompt = [{"role": "user", "content": QUESTION}]
        images = [Image.fromarray(image) for image in task.images]
        return [{"prompt": prompt, "image": image} for image in images for _ in range(self.options.group)]

    def roll_out(self, task: Task) -> None:
        """Encode, sample, reward."""
        inputs = self.trainer._generate_and_score_completions(self._rows(task))
        assert inputs["completion_mask"].sum() == len(task.advantage_N) * self.options.tokens

    def inputs(self, task: Task) -> Any:
        """What an update starts from: every completion with its own copy of prompt and image."""
        processor, group = self.trainer.processing_class, self.options.group
        message = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]
        text = processor.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        images = [[Image.fromarray(image)] for image in task.images for _ in range(group)]
        encoded = processor(text=[text] * len(images), images=images, padding=True, return_tensors="pt")
        completion_ids = torch.tensor(task.ids).flatten(0, 1)
        inputs = {
            "prompt_ids": encoded["input_ids"],
            "prompt_mask": encoded["attention_mask"],
            "completion_ids": completion_ids,
            "completion_mask": torch.ones_like(completion_ids),
            "advantages": task.advantage_N,
            "num_items_in_batch": torch.tensor(completion_ids.numel()),
            "pixel_values": encoded["pixel_values"],
            "pixel_attention_mask": encoded["pixel_attention_mask"],
        }
        on_device = {name: value.to(self.options.device) for name, value in inputs.items()}
        return on_device | {"num_images": [1] * len(images)}

    def loss(self, inputs: Any, task: Task) -> torch.Tensor:
        """The GRPO objective."""
        return self.trainer.compute_loss(self.trainer.model, inputs)

    def logps(self, inputs: Any) -> torch.Tensor:
        """Of all tokens, completion after completion."""
        logp_NT, _, _ = self.trainer._get_per_token_logps_and_entropies(
            self.trainer.model,
            torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1),
            torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1),
            self.options.tokens,
            **{name: inputs[name] for name in ("pixel_values", "pixel_attention_mask", "num_images")},
        )
        return logp_NT.flatten()

    def num_columns(self, inputs: Any) -> int:
        """Tokens that the decoder reads in an update."""
        return inputs["prompt_ids"].numel() + inputs["completion_ids"].numel()


def run_side(options: argparse.Namespace, folder: Path) -> None:
    """Measure one side in this process and leave numbers and tensors in the folder."""
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    model, processor = build(options)
    task = Task(options, len(processor.tokenizer))
    side = Ours(options, model, processor) if options.side == "pondera" else Trl(options, model, processor, folder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)  # no change, so that all repeats are alike
    model.train()
    start_mib = _peak_mib(options.device)
    inputs = side.inputs(task)
    side.loss(inputs, task).backward()
    peak_mib = _peak_mib(options.device) - start_mib
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    with torch.no_grad():
        logp_M = side.logps(inputs)
    torch.save({"gradient": gradient.cpu(), "logp_M": logp_M.cpu()}, folder / f"{options.side}.pt")

    def update() -> None:
        optimizer.zero_grad()
        side.loss(inputs, task).backward()
        optimizer.step()

    seconds = {
        "update_s": _median_seconds(update, options),
        "roll_out_s": _median_seconds(lambda: side.roll_out(task), options),
    }
    numbers = seconds | {"peak_mib": peak_mib, "decoder_tokens": side.num_columns(inputs)}
    (folder / f"{options.side}.json").write_text(json.dumps(numbers))


def _peak_mib(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    per_mib = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / per_mib


def _median_seconds(call: Callable[[], None], options: argparse.Namespace) -> float:
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    call()  # warm caches and allocator
    _settle(options.device)
    seconds = []
    for _ in range(options.repeat):
        start = clock()
        call()
        _settle(options.device)
        seconds.append(clock() - start)
    return statistics.median(seconds)


def _settle(device: str) -> None:
    """Wait for what was only queued."""
    if device == "cuda":
        torch.cuda.synchronize()


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Run both sides in turns and set them beside each other."""
    rounds: dict[str, list[dict[str, float]]] = {"pondera": [], "trl": []}
    with tempfile.TemporaryDirectory() as name:
        for _ in range(options.rounds):
            for side, found in rounds.items():
                command = [sys.executable, __file__, *sys.argv[1:], "--side", side, "--folder", name]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                found.append(json.loads((Path(name) / f"{side}.json").read_text()))
        ours, theirs = (torch.load(Path(name) / f"{side}.pt", weights_only=True) for side in rounds)
    sides = {s: {k: statistics.median(r[k] for r in found) for k in found[0]} for s, found in rounds.items()}
    for numbers in sides.values():
        numbers["step_s"] = numbers["update_s"] + numbers["roll_out_s"]
    difference = (ours["gradient"] - theirs["gradient"]).norm() / theirs["gradient"].norm()
    return {
        "update_ratio": sides["trl"]["update_s"] / sides["pondera"]["update_s"],
        "step_ratio": sides["trl"]["step_s"] / sides["pondera"]["step_s"],
        "memory_ratio": sides["pondera"]["peak_mib"] / sides["trl"]["peak_mib"],
        "gradient_rel_diff": float(difference),
        "logprob_max_diff": float((ours["logp_M"] - theirs["logp_M"]).abs().max()),
        **sides,
        "configuration": _configuration(options),
    }


def _configuration(options: argparse.Namespace) -> dict[str, Any]:
    from importlib.metadata import version

    model, processor = build(options)
    layers = f"{options.layers} vision and {options.layers} decoder layers of width {options.width}"
    return {
        "model": f"Idefics3, {layers}, random weights, float32",
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": len(processor.tokenizer),
        "images": options.images,
        "group": options.group,
        "visual_tokens": processor.image_seq_len,
        "completion_tokens": options.tokens,
        "attention": {"pondera": options.attention, "trl": model.config.get_text_config()._attn_implementation},
        "threads": options.threads,
        "clock": options.clock,
        "repeat": options.repeat,
        "rounds": options.rounds,
        "machine": torch.cuda.get_device_name() if options.device == "cuda" else platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "transformers", "trl")},
    }


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--images", type=int, default=4, help="prompts a step, one image each")
    parser.add_argument("--group", type=int, default=8, help="completions a prompt (G)")
    parser.add_argument("--tokens", type=int, default=64, help="tokens a completion")
    parser.add_argument("--image-px", type=int, default=512, help="side of an image; (side / 32)^2 visual tokens")
    parser.add_argument("--width", type=int, default=192, help="of both towers, a multiple of 32")
    parser.add_argument("--layers", type=int, default=4, help="of each tower")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    parser.add_argument(
        "--attention", choices=["blocks", "sdpa", "flex"], default="blocks", help="of our side; TRL's is sdpa"
    )
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu where others use the machine")
    parser.add_argument("--repeat", type=int, default=3, help="timed calls a round")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each side")
    parser.add_argument("--side", choices=["pondera", "trl"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(options, options.folder)
        return
    result = compare(options)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, value in result.items():
        print(f"{name:18} {value:.3g}" if isinstance(value, float) else f"{name:18} {value}")


if __name__ == "__main__":
    main()
