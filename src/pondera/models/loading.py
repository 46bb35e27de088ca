"""Loading models by name: built in, a folder, or a hub id of a stock family. Never remote code, never pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from pondera import prompts
from pondera.core.answers import AnswerFormat
from pondera.core.records import LabelScale, MediaKind
from pondera.data.presentation import Layout
from pondera.errors import ConfigError, ModelError
from pondera.models.distribution import is_sharded, world_size
from pondera.models.family import Family
from pondera.models.four_bit import FourBit, is_quantised
from pondera.prompts import Prompt

CARD_FILE = "pondera.json"
_STOCK: Mapping[MediaKind, Mapping[str, Any]] = {
    "image": {
        "prompt": "quality.expert",
        "fast_prompt": "quality.expert.fast",
        "tasks": {"aesthetics": "aesthetics.image", "alignment": "alignment.image"},
        "fast_tasks": {"aesthetics": "aesthetics.image.fast", "alignment": "alignment.image.fast"},
    },
    "video": {
        "prompt": "technical.video",
        "fast_prompt": "technical.video.fast",
        "tasks": {"alignment": "alignment.video"},
        "fast_tasks": {"alignment": "alignment.video.fast"},
    },
}
BUILT_IN = {
    "nano": "images; 2.4M parameters, convolutional tower; ships with Pondera, made by recipe `quickstart`",
    "nano-video": "videos; the same tower, another decoder; ships with Pondera, made by recipe `quickstart-video`",
}
BUILT_IN_FOR: Mapping[MediaKind, str] = {"image": "nano", "video": "nano-video"}
TOWERS = {"nano-tower": "a vision tower without speech, for model.vision_from of a recipe; made by recipe `nano-tower`"}
_FOLDERS = {"nano": "nano/weights", "nano-video": "nano/video", "nano-tower": "nano/tower"}  # in this package


@dataclass(frozen=True)
class ModelCard:
    """How a checkpoint wants to be asked; `pondera.json` beside the weights. Prompts say the form of the answers.

    Args:
        prompt: name of the prompt for a score.
        fast_prompt: name of the prompt for a score without a thought; "" for a model that was not taught to do without.
        tasks: names of the prompts for other tasks, by task, and for scores of another question (`prompts.QUESTIONS`),
            by question.
        fast_tasks: the same for a score without a thought.
        max_new_tokens: longest completion.
        view: how videos are shown to it.
        trained_on: datasets seen in training, so that evaluation can mark what is in-domain.
        pictures: hashes of pictures seen in training, one a content (`data.picture_hash`), so that evaluation knows
            them under any name; empty where none were recorded.
        recipe: what made it.
    """

    prompt: str = "quality.short"
    fast_prompt: str = "quality.short.fast"
    tasks: Mapping[str, str] = field(default_factory=dict)
    fast_tasks: Mapping[str, str] = field(default_factory=dict)
    max_new_tokens: int = 96
    view: Layout = field(default_factory=Layout)
    trained_on: tuple[str, ...] = ()
    pictures: tuple[str, ...] = field(default=(), repr=False)
    recipe: str = ""

    @property
    def kind(self) -> MediaKind:
        """What it judges: images or videos, as its prompt for a score says."""
        return prompts.get(self.prompt).kind

    @property
    def scale(self) -> LabelScale:
        """The scale of its scores.

        Raises:
            ConfigError: its prompt asks for no score.
        """
        scale = self.answer.scale
        if scale is None:
            raise ConfigError(f"prompt {self.prompt!r} asks for no score on one scale; it can be the prompt of a task")
        return scale

    @property
    def answer(self) -> AnswerFormat:
        """The form of its answers about a score."""
        return self.prompt_for("score").answer

    def prompt_for(self, task: str) -> Prompt:
        """The question of a task.

        Raises:
            ConfigError: the model has no prompt for it.
        """
        if task == "score":
            return prompts.get(self.prompt)
        if task not in self.tasks:
            raise ConfigError(
                f"there is no prompt for the task {task!r}; known are: {', '.join(('score', *self.tasks))}. "
                f"In a recipe, name one under prompts.tasks.{task}"
            )
        return prompts.get(self.tasks[task])

    def asked(self, question: str) -> ModelCard:
        """The card with the prompts of another question in place of the first ones.

        Args:
            question: one of `prompts.QUESTIONS`, or a task whose answer is a score; "" keeps the card's own.

        Raises:
            ConfigError: the model has no prompt for it, or one that asks for no score.
        """
        if question in ("", prompts.get(self.prompt).question):
            return self
        if question not in self.tasks:
            raise ConfigError(f"the model has no prompt for {question}: it is asked {self.prompt!r}")
        card = replace(self, prompt=self.tasks[question], fast_prompt=self.fast_tasks.get(question, ""))
        _ = card.scale  # refuses a prompt that asks for no score
        return card

    def save(self, folder: Path) -> None:
        """Write `pondera.json`."""
        (folder / CARD_FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path, kind: MediaKind = "image") -> ModelCard:
        """Read `pondera.json`; a checkpoint without one is asked for a general quality score of this kind of media.

        It was taught no prompt of ours, so that it can be asked those of the other questions as well.

        Raises:
            ModelError: the file is not what this version writes.
        """
        path = folder / CARD_FILE
        if not path.is_file():
            return cls(**_STOCK[kind], max_new_tokens=512)
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            for name in ("trained_on", "pictures"):
                values[name] = tuple(values.get(name, ()))
            values["view"] = Layout(**values.get("view", {}))
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise ModelError(f"{path}: {error}; it was written by another version of Pondera") from None


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to use.

    Args:
        name: as asked for.
        family: model and processor.
        card: how to ask it.
        weights_hash: of its files, for fingerprints.
    """

    name: str
    family: Family
    card: ModelCard
    weights_hash: str


def load_model(
    name: str = "nano",
    *,
    device: str | None = None,
    dtype: str = "auto",
    kind: MediaKind = "image",
    sharded: bool = False,
    four_bit: FourBit | None = None,
) -> LoadedModel:
    """Load a model for scoring or as the start of training.

    Args:
        name: `nano`, `nano-video`, a folder with weights, or a hub id of a stock image-text-to-text model.
        device: such as "cpu", "cuda", "mps"; by default an accelerator when there is one.
        dtype: "auto" takes that of the weights.
        kind: of media that a checkpoint without a card is asked about; a card names its own prompt.
        sharded: each process of the run holds a piece of every parameter (FSDP2, through the library).
        four_bit: hold the decoder's weights so, for an adapter beside them; None leaves them as they are.

    Raises:
        ModelError: there is no such model, or its files are not complete.
        ConfigError, MissingExtra: four bits are asked for, and there is no CUDA or no bitsandbytes.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    import pondera.models.nano  # noqa: F401 - registers the built-in family

    folder = resolve(name)
    source = str(folder) if folder else name
    options: dict[str, Any] = {"dtype": "auto" if dtype == "auto" else getattr(torch, dtype)}
    if sharded and world_size() > 1:
        options |= _sharding(default_device(device))
    if four_bit is not None:
        options |= four_bit.options()
    try:
        model = AutoModelForImageTextToText.from_pretrained(
            source, trust_remote_code=False, use_safetensors=True, **options
        )
        processor = AutoProcessor.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, ImportError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"cannot load model {name!r}: {reason}. Give 'nano' (images), 'nano-video', a folder with config.json and "
            "model.safetensors, or the id of a stock model that can be downloaded or is in the local cache"
        ) from error
    if not is_sharded(model) and not is_quantised(model):  # these are where they stay
        if model.dtype == torch.float16 and default_device(device) == "cpu":
            model = model.float()  # half precision is for shipping; CPUs compute in single
        model = model.to(default_device(device))  # type: ignore[arg-type]
    model = model.eval()
    card = ModelCard.read(folder or Path(source), kind)
    return LoadedModel(name, Family(model, processor), card, hash_weights(folder) if folder else source)


def _sharding(device: str) -> dict[str, Any]:
    """Options under which the library loads a model in pieces; sharded parameters change neither type nor place."""
    try:
        from transformers.distributed import DistributedConfig
    except ImportError:
        raise ModelError("model.sharded needs a newer transformers: pip install 'transformers>=5.23'") from None
    options: dict[str, Any] = {"distributed_config": DistributedConfig(fsdp_size=world_size())}
    return options | ({"dtype": torch.float32} if device == "cpu" else {})


def resolve(name: str) -> Path | None:
    """The folder behind a name; None for a hub id.

    Raises:
        ModelError: it is a path, and nothing is there.
    """
    if name in _FOLDERS:
        folder = Path(str(files("pondera.models"))) / _FOLDERS[name]
        if not (folder / "model.safetensors").is_file():
            raise ModelError(f"the built-in model {name!r} is missing from {folder}; reinstall Pondera")
        return folder
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(
                f"{path}: no config.json in this folder, so it is no checkpoint; runs keep theirs in RUN/final"
            )
        return path
    if path.exists() or name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1:
        raise ModelError(f"{name}: no such model folder")
    return None


def default_device(device: str | None = None) -> str:
    """The device asked for, or the best there is."""
    if device is not None:
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def hash_weights(folder: Path) -> str:
    """A hash of the weight files: all bytes of small files, 64 evenly spaced blocks of large ones."""
    digest = hashlib.sha256()
    block, num_blocks = 1 << 16, 64
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}".encode())
        with path.open("rb") as file:
            if size <= 256 * block * num_blocks:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
                continue
            for i in range(num_blocks):
                file.seek((size - block) * i // (num_blocks - 1))
                digest.update(file.read(block))
    return digest.hexdigest()[:16]
