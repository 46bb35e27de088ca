"""A prompt: paraphrases of one question, and the form in which the answer is expected.

Files: `prompts/<family>.yaml`, a mapping of prompt names (without the family) to templates:

    short:
      version: 1
      kind: image
      variant: think
      answer: {think: required, numbers: {n: 1, low: 1, high: 5}}
      paraphrases: ["..."]

`role` and `format` are optional: they stand before and after every paraphrase. `{name}` in a text is a field that
`render` must be given; `{{` and `}}` are braces.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

import yaml

from pondera.core.answers import (
    AnswerFormat,
    BoxesField,
    ClassField,
    Json,
    JsonField,
    LabelsField,
    NumberField,
    Numbers,
)
from pondera.errors import ConfigError

Variant = Literal["think", "fast", "five", "two", "hint", "compare", "degradation", "grounding", "level", "judge"]
Kind = Literal["image", "video"]

QUESTIONS = ("quality", "aesthetics", "alignment")
"""What a prompt for a score can ask about; families without their own question ask about quality."""

_REQUIRED = {"version", "kind", "variant", "answer", "paraphrases"}
_OPTIONAL = {"role", "format"}


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question in several wordings.

    Args:
        name: family and name, such as "quality.short".
        version: raised with every change of wording or form.
        kind: what it is asked about.
        variant: think, fast (no thought), five (five aspects), two (two scores), hint (the label is given), compare,
            degradation (what is wrong, how badly), grounding (where), level (one of five words, worst first), judge
            (what others wrote is judged).
        paraphrases: complete texts that mean the same; fields stand in braces.
        answer: the form the texts ask for.
    """

    name: str
    version: int
    kind: Kind
    variant: Variant
    paraphrases: tuple[str, ...]
    answer: AnswerFormat

    @property
    def question(self) -> str:
        """Which of `QUESTIONS` it asks."""
        family = self.name.partition(".")[0]
        return family if family in QUESTIONS else "quality"

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that `render` must be given, sorted."""
        return tuple(sorted({name for text in self.paraphrases for name in _fields(text)}))

    @property
    def hash(self) -> str:
        """Twelve hex digits over name, version, wordings and answer form: changes whenever the prompt does."""
        content = [self.name, self.version, self.kind, self.variant, list(self.paraphrases), repr(self.answer)]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]

    def render(self, index: int = 0, *, seed: int | None = None, **fields: object) -> str:
        """The text of one paraphrase.

        Args:
            index: which one, counted around; 0 is the one to evaluate with.
            seed: instead of an index: a whole number >= 0 that picks one, the same for the same prompt.
            fields: values of the fields.

        Raises:
            ValueError: a field is missing or unknown, or both index and seed are given.
        """
        if seed is not None and index != 0:
            raise ValueError(f"give an index or a seed, not both (index {index}, seed {seed})")
        if set(fields) != set(self.fields):
            raise ValueError(f"prompt {self.name!r} takes the fields {list(self.fields)}, got {sorted(fields)}")
        if seed is not None:
            index = int.from_bytes(hashlib.sha256(f"{self.name}/{seed}".encode()).digest()[:8], "big")
        return self.paraphrases[index % len(self.paraphrases)].format(**fields)


def get(name: str) -> Prompt:
    """The prompt of this name.

    Raises:
        ConfigError: there is none; the message suggests names.
    """
    prompts = _all_prompts()
    if name not in prompts:
        near = difflib.get_close_matches(name, prompts, n=3, cutoff=0.4) or list(prompts)
        raise ConfigError(f"no prompt {name!r}; did you mean {' or '.join(near)}?")
    return prompts[name]


def list_names() -> list[str]:
    """Names of all packaged prompts, sorted."""
    return sorted(_all_prompts())


@cache
def _all_prompts() -> dict[str, Prompt]:
    found: dict[str, Prompt] = {}
    for file in sorted(files("pondera.prompts").iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".yaml"):
            found |= parse_family(file.name.removesuffix(".yaml"), file.read_text(encoding="utf-8"))
    return found


def parse_family(family: str, text: str) -> dict[str, Prompt]:
    """Read the prompts of one YAML file.

    Args:
        family: first part of their names.
        text: the file's content.

    Raises:
        ConfigError: the file is no YAML, or a template has missing, unknown or wrong keys; names file, prompt and key.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{family}.yaml: not YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{family}.yaml: a mapping of prompt names to templates is needed, got {content!r}")
    prompts = {}
    for short, template in content.items():
        name = f"{family}.{short}"
        try:
            prompts[name] = _parse_prompt(name, template)
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{family}.yaml: {short}: {error}") from None
    return prompts


def _parse_prompt(name: str, template: Any) -> Prompt:
    if not isinstance(template, dict) or not set(template) >= _REQUIRED or set(template) - _REQUIRED - _OPTIONAL:
        raise ValueError(f"needs the keys {sorted(_REQUIRED)}, may have {sorted(_OPTIONAL)}, got {template!r:.120}")
    for key, allowed in (("kind", get_args(Kind)), ("variant", get_args(Variant))):
        if template[key] not in allowed:
            raise ValueError(f"{key} must be one of {', '.join(allowed)}, got {template[key]!r}")
    texts = template["paraphrases"]
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f"paraphrases must be a list of texts, got {texts!r:.120}")
    parts = [" ".join(template.get(key, "").split()) for key in ("role", "format")]
    whole = tuple(" ".join(part for part in (parts[0], " ".join(text.split()), parts[1]) if part) for text in texts)
    if len({tuple(_fields(text)) for text in whole}) != 1:
        raise ValueError("all paraphrases must have the same fields in the same order")
    answer = _parse_answer(template["answer"])
    return Prompt(name, int(template["version"]), template["kind"], template["variant"], whole, answer)


def _parse_answer(spec: Mapping[str, Any]) -> AnswerFormat:
    if set(spec) not in ({"think", "numbers"}, {"think", "json"}):
        raise ValueError(f"answer needs think and either numbers or json, got {sorted(spec)}")
    if spec["think"] not in ("required", "absent", "opened"):
        raise ValueError(f"think must be required, absent or opened, got {spec['think']!r}")
    if "numbers" in spec:
        numbers = dict(spec["numbers"])
        return AnswerFormat(Numbers(**{**numbers, "names": tuple(numbers.get("names", ()))}), spec["think"])
    return AnswerFormat(Json({key: _parse_field(key, value) for key, value in spec["json"].items()}), spec["think"])


def _parse_field(key: str, spec: Mapping[str, Any]) -> JsonField:
    (kind, value), *more = spec.items()
    if more or kind not in ("number", "class", "labels", "boxes"):
        raise ValueError(f"answer field {key!r} is one of number, class, labels, boxes; got {dict(spec)!r}")
    if kind == "number":
        low, high = value
        return NumberField(float(low), float(high))
    if kind == "boxes":
        return BoxesField()
    return ClassField(tuple(value)) if kind == "class" else LabelsField(tuple(value))


def _fields(text: str) -> list[str]:
    return [field for _, field, _, _ in string.Formatter().parse(text) if field is not None]
