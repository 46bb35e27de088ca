"""Tiny random models of stock families, built from configurations, and prompts for them made by hand.

Most need no processor: ids and image tensors are laid out here as the families' own processors lay them out.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch
from transformers import (
    AutoModelForImageTextToText,
    CLIPVisionConfig,
    Gemma3Config,
    Idefics3Config,
    Idefics3Processor,
    LlamaConfig,
    LlavaConfig,
    MistralConfig,
    PixtralVisionConfig,
    PretrainedConfig,
    Qwen2_5_VLConfig,
    Qwen2VLConfig,
    SiglipVisionConfig,
    SmolVLMConfig,
)
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from pondera.models import EncodedPrompt, Family
from pondera.models.nano.tokenizer import CHAT_TEMPLATE, train_tokenizer

PAD, END, IMAGE, START, STOP = 0, 1, 2, 3, 4  # START and STOP stand around the images of a Qwen prompt
TEXT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXT |= {"num_key_value_heads": 2, "vocab_size": 40, "max_position_embeddings": 512}
TEXT |= {"pad_token_id": PAD, "bos_token_id": None, "eos_token_id": END, "tie_word_embeddings": False}


def stock_family(config: PretrainedConfig, *, attention: str = "sdpa", seed: int = 0) -> Family:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(config, attn_implementation=attention)
        # Default initialisation is so small that all predictions are alike and nothing could be seen to differ; Gemma's
        # projection starts at zero, and no picture would be seen at all.
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.data = 4 * parameter.data if parameter.any() else 0.1 * torch.randn_like(parameter)
    model.generation_config.eos_token_id = END
    return Family(model.eval(), SimpleNamespace(tokenizer=SimpleNamespace(pad_token_id=PAD, eos_token_id=END)))


_ROPE = {"rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}}
_QWEN_TOKENS = {"image_token_id": IMAGE, "video_token_id": 39}
_QWEN_TOKENS |= {"vision_start_token_id": START, "vision_end_token_id": STOP}


def qwen_config() -> PretrainedConfig:
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 4, "out_hidden_size": 32}
    vision |= {"patch_size": 4, "window_size": 16, "fullatt_block_indexes": [1]}
    return Qwen2_5_VLConfig(text_config=TEXT | _ROPE, vision_config=vision, **_QWEN_TOKENS)


def qwen2_config() -> PretrainedConfig:
    vision = {"depth": 2, "embed_dim": 32, "mlp_ratio": 2, "num_heads": 4, "hidden_size": 32, "patch_size": 4}
    return Qwen2VLConfig(text_config=TEXT | _ROPE, vision_config=vision, **_QWEN_TOKENS)


def idefics_config(kind: type[PretrainedConfig] = Idefics3Config) -> PretrainedConfig:
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return kind(
        text_config=LlamaConfig(**TEXT),
        vision_config=vision | {"image_size": 16, "patch_size": 4},
        image_token_id=IMAGE,
        scale_factor=2,
        pad_token_id=PAD,
    )


def llava_config(text: PretrainedConfig | None = None) -> PretrainedConfig:
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
    return LlavaConfig(
        text_config=text or LlamaConfig(**TEXT),
        vision_config=CLIPVisionConfig(**vision, image_size=12, patch_size=4, projection_dim=32),
        image_token_id=IMAGE,
        image_seq_length=9,
    )


def pixtral_llava_config() -> PretrainedConfig:
    """The LLaVA whose tower takes pictures of any size, a token for every 4 x 4 pixels."""
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlavaConfig(
        text_config=LlamaConfig(**TEXT),
        vision_config=PixtralVisionConfig(**vision, image_size=32, patch_size=4),
        image_token_id=IMAGE,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )


def sliding_llava_config(window: int) -> PretrainedConfig:
    return llava_config(MistralConfig(**TEXT, sliding_window=window))


def gemma_config() -> PretrainedConfig:
    text = TEXT | {"head_dim": 8, "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return Gemma3Config(
        text_config=text,
        vision_config=SiglipVisionConfig(**vision, image_size=16, patch_size=4),
        image_token_id=IMAGE,
        boi_token_index=START,
        eoi_token_index=STOP,
        mm_tokens_per_image=4,
    )


def processed_idefics() -> Family:
    """An Idefics3 with its own processor: 4 tokens a picture, whatever its size."""
    tokenizer = train_tokenizer(["Rate the quality."])
    edge = {"longest_edge": 16}
    pixels = Idefics3ImageProcessorPil(do_image_splitting=False, size=edge, max_image_size=edge)
    processor = Idefics3Processor(pixels, tokenizer, image_seq_len=4, chat_template=CHAT_TEMPLATE)
    config = idefics_config()
    config.text_config.vocab_size = len(tokenizer)
    config.image_token_id = int(tokenizer.convert_tokens_to_ids("<image>"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return Family(model.eval(), processor)


def _words(count: int, generator: torch.Generator) -> list[int]:
    return torch.randint(5, 39, (count,), generator=generator).tolist()


def qwen_prompt(sizes: list[tuple[int, int]], num_words: int, seed: int) -> EncodedPrompt:
    """Images of the given sizes in image tokens, each 2 x 2 patches."""
    generator = torch.Generator().manual_seed(seed)
    ids = _words(2, generator)
    for rows, columns in sizes:
        ids += [START, *[IMAGE] * (rows * columns), STOP]
    grid = torch.tensor([[1, 2 * rows, 2 * columns] for rows, columns in sizes])
    pixels = torch.randn(int(grid.prod(1).sum()), 3 * 2 * 4 * 4, generator=generator)
    return EncodedPrompt((*ids, *_words(num_words, generator)), {"pixel_values": pixels, "image_grid_thw": grid})


def pixtral_prompt(sizes: list[tuple[int, int]], num_words: int, seed: int) -> EncodedPrompt:
    """Images of the given sizes in image tokens; a mark behind each row of them."""
    generator = torch.Generator().manual_seed(seed)
    ids = _words(2, generator)
    for rows, columns in sizes:
        ids += [*[*[IMAGE] * columns, START] * rows, STOP]
    size = 4 * torch.tensor(sizes)
    pixels = torch.zeros(len(sizes), 3, *size.amax(0).tolist())
    for image, (height, width) in zip(pixels, size.tolist(), strict=True):
        image[:, :height, :width] = torch.randn(3, height, width, generator=generator)
    return EncodedPrompt((*ids, *_words(num_words, generator)), {"pixel_values": pixels, "image_sizes": size})


def square_prompt(num_images: int, num_words: int, seed: int, *, px: int, tokens: int, idefics: bool) -> EncodedPrompt:
    generator = torch.Generator().manual_seed(seed)
    ids = _words(2, generator)
    for _ in range(num_images):
        ids += [START, *[IMAGE] * tokens, STOP]
    pixels = torch.randn(num_images, 3, px, px, generator=generator)
    media = {"pixel_values": pixels}
    if idefics:
        mask = torch.ones(1, num_images, px, px, dtype=torch.long)
        mask[:, 0, px // 2 :] = 0  # the first image is half as high as the others
        media = {"pixel_values": pixels[None] * mask[:, :, None], "pixel_attention_mask": mask}
    return EncodedPrompt((*ids, *_words(num_words, generator)), media)


_SIZES = [[(2, 3)], [(3, 2), (2, 2)], [(1, 2), (2, 2), (4, 1)]]  # rows and columns of image tokens


def qwen() -> tuple[PretrainedConfig, list[EncodedPrompt]]:
    return qwen_config(), [qwen_prompt(sizes, 3 + i, seed=i) for i, sizes in enumerate(_SIZES)]


def qwen2() -> tuple[PretrainedConfig, list[EncodedPrompt]]:
    return qwen2_config(), qwen()[1]


def idefics() -> tuple[PretrainedConfig, list[EncodedPrompt]]:
    return idefics_config(), [square_prompt(n, 2 + n, n, px=16, tokens=4, idefics=True) for n in (2, 1, 3)]


def smolvlm() -> tuple[PretrainedConfig, list[EncodedPrompt]]:
    return idefics_config(SmolVLMConfig), idefics()[1]


def llava() -> tuple[PretrainedConfig, list[EncodedPrompt]]:
    return llava_config(), [square_prompt(n, 2 + n, n, px=12, tokens=9, idefics=False) for n in (2, 1, 3)]


def pixtral_llava() -> tuple[PretrainedConfig, list[EncodedPrompt]]:
    return pixtral_llava_config(), [pixtral_prompt(sizes, 3 + i, seed=i) for i, sizes in enumerate(_SIZES)]


def gemma() -> tuple[PretrainedConfig, list[EncodedPrompt]]:
    return gemma_config(), [square_prompt(n, 2 + n, n, px=16, tokens=4, idefics=False) for n in (2, 1)]


def random_branches(num_groups: int, group_size: int, seed: int = 0) -> list[list[list[int]]]:
    """Completions of different lengths, one to nine tokens."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 10, (num_groups, group_size), generator=generator).tolist()
    return [[_words(length, generator) for length in row] for row in lengths]


def processed_qwen() -> Family:
    """A Qwen2.5-VL with its own processor; needs torchvision. A token of a picture is 8 x 8 pixels."""
    from transformers import Qwen2_5_VLProcessor, Qwen2VLVideoProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    tokenizer = train_tokenizer(["Rate the quality."])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|vision_start|>", "<|vision_end|>", "<|video_pad|>"]})
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|image_pad|>"]}, replace_extra_special_tokens=False)
    sizes = {"patch_size": 4, "size": {"shortest_edge": 64, "longest_edge": 4096}}
    processor = Qwen2_5_VLProcessor(
        Qwen2VLImageProcessorPil(**sizes),
        tokenizer,
        Qwen2VLVideoProcessor(**sizes, cap_pixels_per_frame=False),
        chat_template=_QWEN_TURN,
    )
    config = qwen_config()
    config.text_config.vocab_size = len(tokenizer)
    config.vision_config.tokens_per_second = 2
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    for name, token in names.items():
        setattr(config, name, int(tokenizer.convert_tokens_to_ids(token)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return Family(model.eval(), processor)


_QWEN_TURN = (
    "{% for part in messages[0].content %}{% if part.type == 'text' %}{{ part.text }}{% else %}"
    "<|vision_start|><|{{ part.type }}_pad|><|vision_end|>{% endif %}{% endfor %}"
)
