"""Frozen weights in four bits beside an adapter (QLoRA): what the library is asked for, and where it is refused.

What is trained is the adapter; the base only has to be read. So a model takes a quarter of the memory that it takes in
bfloat16, and its steps take longer: every layer is unpacked each time it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from pondera.errors import ConfigError, MissingExtra

# The decoder is large and its adapter learns what rounding takes away; eyes are small, and nothing learns beside them.
_WHOLE = r"(?:.*\.)?(?:visual|vision_tower|vision_model|connector|multi_modal_projector|projector)"


@dataclass(frozen=True)
class FourBit:
    """How frozen weights are held: NF4, and the library's head and vision tower as they are.

    Args:
        compute_dtype: of the products, `bfloat16`, `float16` or `float32`.
        double_quant: the scales of the blocks are quantised too, which saves another 0.4 bits a weight.

    Source: QLoRA (arXiv:2305.14314), whose vision tower there is none; keeping it whole is ours.
    """

    compute_dtype: str = "bfloat16"
    double_quant: bool = True

    def options(self) -> dict[str, Any]:
        """Options of `from_pretrained`.

        Raises:
            ConfigError: this machine has no GPU that CUDA runs on.
            MissingExtra: bitsandbytes is not installed.
        """
        if not torch.cuda.is_available():
            raise ConfigError(
                "model.lora.four_bit needs a GPU with CUDA, and this machine shows none; leave it out: an adapter "
                "beside weights of the usual size trains on any machine"
            )
        if find_spec("bitsandbytes") is None:
            raise MissingExtra("model.lora.four_bit needs bitsandbytes", "qlora")
        from transformers import BitsAndBytesConfig

        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=self.double_quant,
            bnb_4bit_compute_dtype=getattr(torch, self.compute_dtype),
            llm_int8_skip_modules=[_WHOLE, "lm_head"],  # the name is the library's, and older than its four bits
        )
        return {"quantization_config": config, "device_map": {"": torch.cuda.current_device()}}


def is_quantised(model: Any) -> bool:
    """Whether a model, or the one below its adapter, holds rounded weights: these cannot be trained, moved or saved as
    a plain checkpoint."""
    return getattr(model, "hf_quantizer", None) is not None
