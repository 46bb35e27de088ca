"""Named, versioned protocols: which samples count, what is in-domain, and what others reached. Data: protocols.yaml."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from pondera.config import Strict
from pondera.core.records import Sample
from pondera.data.text_files import opened
from pondera.errors import ConfigError, DatasetError
from pondera.evaluate.origins import SHARED_ORIGIN, shares_origin

Domain = Literal["in", "cross"]


class Part(Strict):
    """A dataset, or one split of it."""

    dataset: str
    split: str | None = Field(None, description="None is the whole set.")

    def holds(self, sample: Sample) -> bool:
        """Whether the sample belongs to this part."""
        return sample.dataset == self.dataset and self.split in (None, sample.split)

    def __str__(self) -> str:
        return f"{self.dataset} ({self.split})" if self.split else self.dataset


class TestedPart(Part):
    """A part that is tested on."""

    name: str = Field("", description="In tables; the dataset by default.")
    domain: Domain = Field(description="in: the training set's own test part; cross: a set never trained on.")
    expected: int | None = Field(None, ge=1, description="Number of samples in print.")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("name"):
            values = {**values, "name": values.get("dataset", "")}
        return values


class View(Strict):
    """A split of a set that is tested whole, shown beside it: from the same answers, and not in the average."""

    name: str = Field(min_length=1, description="In tables.")
    dataset: str
    split: str
    expected: int | None = Field(None, ge=1, description="Number of samples in print.")


class Published(Strict):
    """Results of others; [SRCC, PLCC] by system and name of the test part or view."""

    source: str
    systems: dict[str, dict[str, tuple[float | None, float | None]]]


class Protocol(Strict):
    """How a number is made, so that two numbers can stand in one table.

    Args:
        name: of the protocol.
        version: raised whenever sets, splits or terms change.
        title: in a line.
        plcc: which PLCC the protocol reports: raw, or after a fit with 4 or 5 parameters.
        trained_on: what a model may have been trained on.
        tests: what it is tested on.
        views: splits of whole sets among the tests that are shown by themselves as well.
        source: where these terms are written.
        published: what others reached.
    """

    name: str
    version: int = Field(ge=1)
    title: str
    plcc: Literal["raw", "4p", "5p"]
    trained_on: tuple[Part, ...]
    tests: tuple[TestedPart, ...] = Field(min_length=1)
    views: tuple[View, ...] = ()
    source: str
    published: tuple[Published, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Protocol:
        names = [part.name for part in self._named]
        if len(set(names)) != len(names):
            raise ValueError("two tests or views have one name")
        parts = [(test.dataset, test.split) for test in self.tests]
        for dataset, _ in (part for part in parts if part[1] is None or parts.count(part) > 1):
            if sum(other == dataset for other, _ in parts) > 1:
                raise ValueError(
                    f"dataset {dataset!r} is tested on twice in part; name disjoint splits, or the whole set and a view"
                )
        for view in self.views:
            if (view.dataset, None) not in parts:
                raise ValueError(f"view {view.name!r} is of dataset {view.dataset!r}, which is not tested whole")
        for published in self.published:
            for system, results in published.systems.items():
                if unknown := set(results) - set(names):
                    raise ValueError(f"{system} has a result on {min(unknown)}, which is not tested")
        return self

    @property
    def plcc_key(self) -> str:
        """The PLCC of this protocol as a key of a summary, see `core.metrics.summarise`."""
        return "plcc" if self.plcc == "raw" else f"plcc_{self.plcc}"

    @property
    def _named(self) -> tuple[TestedPart | View, ...]:
        return (*self.tests, *self.views)

    @property
    def columns(self) -> dict[str, str]:
        """The test each column of a table belongs to: tests, each with its views behind it."""
        found = {}
        for test in self.tests:
            found[test.name] = test.name
            found |= {view.name: test.name for view in self.views if view.dataset == test.dataset}
        return found

    @property
    def view_places(self) -> dict[str, tuple[str, str]]:
        """Name of the test and split that each view shows."""
        return {view.name: (self.columns[view.name], view.split) for view in self.views}

    def select(self, samples: Sequence[Sample]) -> list[Sample]:
        """The samples that are tested on, in the order of the test parts.

        Raises:
            DatasetError: a sample is of a dataset that the protocol does not know, or nothing is left.
        """
        known = {part.dataset for part in (*self.tests, *self.trained_on)}
        for sample in samples:
            if sample.dataset not in known:
                raise DatasetError(
                    f"sample {sample.id!r} is of dataset {sample.dataset!r}, which protocol {self.name!r} does not "
                    f"test; it knows {', '.join(sorted(known))}"
                )
        chosen = [sample for test in self.tests for sample in samples if test.holds(sample)]
        if not chosen:
            parts = ", ".join(map(str, self.tests))
            raise DatasetError(f"no sample is of a part that protocol {self.name!r} tests: {parts}")
        return chosen

    def rename(self, samples: Sequence[Sample]) -> list[Sample]:
        """Samples from `select` under the names of their test parts, so that two splits of a set are two results."""
        return [replace(s, dataset=next(test.name for test in self.tests if test.holds(s))) for s in samples]

    def domains(self, contents: Mapping[str, Collection[str]]) -> dict[str, str]:
        """The mark of each part that is tested: the protocol's own, or "shared origin" in place of "cross" where the
        photographs are those of a training set under another name.

        Args:
            contents: tested contents, by name of the part.
        """
        names = {part.dataset for part in self.trained_on}
        found = {}
        for test in self.tests:
            if test.name in contents:
                samples = [Sample(c, (), dataset=test.dataset, reference=c) for c in contents[test.name]]
                is_shared = test.domain == "cross" and shares_origin(samples, (), names)
                found[test.name] = SHARED_ORIGIN if is_shared else test.domain
        return found

    def facts(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """What the report says about the selected samples: parts with domain and counts, and what is missing.

        Args:
            samples: from `rename`.
        """
        contents: dict[str, set[str]] = {}
        for sample in samples:
            contents.setdefault(sample.dataset, set()).add(sample.content)
        count = {test.name: sum(s.dataset == test.name for s in samples) for test in self.tests}
        for name, place in self.view_places.items():
            count[name] = sum((s.dataset, s.split) == place for s in samples)
        expected = {part.name: part.expected for part in self._named}
        return {
            "protocol": f"{self.name} v{self.version}: {self.title}",
            "protocol_source": self.source,
            "protocol_plcc": self.plcc,
            "domains": self.domains(contents),
            "not_evaluated": [name for name in self.columns if not count[name]],
            "incomplete": {
                name: f"{count[name]} of {expected[name]}"
                for name in self.columns
                if count[name] and expected[name] not in (None, count[name])
            },
        }


def list_protocols() -> list[str]:
    """Names of the packaged protocols."""
    return list(_packaged())


def load_protocol(name: str) -> Protocol:
    """A packaged protocol, or one of your own.

    Args:
        name: a packaged name, or a YAML file with one protocol (the keys of `Protocol`).

    Raises:
        ConfigError: there is none of this name, or the file is wrong.
    """
    if name.endswith((".yaml", ".yml")):
        return _from_file(Path(name))
    packaged = _packaged()
    if name not in packaged:
        close = difflib.get_close_matches(name, packaged, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(packaged)}, or give a .yaml file"
        raise ConfigError(f"no protocol {name!r}: {hint}")
    return Protocol(name=name, **packaged[name])


def _packaged() -> dict[str, Any]:
    text = (files("pondera.evaluate") / "protocols.yaml").read_text(encoding="utf-8")
    protocols: dict[str, Any] = yaml.safe_load(text)
    return protocols


def _from_file(path: Path) -> Protocol:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    try:
        with opened(path, ConfigError) as file:
            values = yaml.safe_load(file.read())
        return Protocol(**{"name": path.stem, **values})
    except (yaml.YAMLError, TypeError) as error:
        why = " ".join(str(error).split())  # YAML shows the place on lines of their own
        raise ConfigError(f"{path}: not a protocol ({why}); write the keys of a packaged one") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "protocol"
        raise ConfigError(f"{path}: {where}: {first['msg']}") from None
