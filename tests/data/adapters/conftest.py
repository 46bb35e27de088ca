"""Miniature replicas of data sets: every test writes the files of one layout and reads them back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pondera.core.records import Sample
from pondera.data.adapters import get_adapter
from pondera.data.importers.run import import_samples


class Replica:
    """A folder that looks like an unpacked download: label files, and media that are no pictures but there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.label_files: list[Path] = []
        self.media_files: list[Path] = []

    def table(self, name: str, *lines: str) -> None:
        """A label file of text."""
        path = self._place(name)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.label_files.append(path)

    def files(self, *names: str) -> None:
        """Media."""
        for name in names:
            path = self._place(name)
            path.write_text("x", encoding="utf-8")
            self.media_files.append(path)

    def mat(self, name: str, **variables: list[object]) -> None:
        """A label file of MATLAB. Numbers become a 1 x n matrix, texts an n x 1 cell array, as it writes them."""
        from scipy.io import savemat

        path = self._place(name)
        content = {}
        for key, values in variables.items():
            if isinstance(values[0], str):
                content[key] = np.array([[np.array([value])] for value in values], dtype=object).reshape(-1, 1)
            else:
                content[key] = np.array([values], dtype=float)
        savemat(path, content)
        self.label_files.append(path)

    def _place(self, name: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def load(self, name: str) -> list[Sample]:
        """Through all checks but the count; every file must be there."""
        adapter = get_adapter(name)
        found = list(adapter.samples(self.root))
        imported = import_samples(found, title=adapter.title, source=adapter.source)
        assert all(sample.dataset == name and sample.id.startswith(f"{name}/") for sample in imported.samples)
        assert all(sample.kind == adapter.kind for sample in imported.samples)
        assert all(sample.scale == adapter.scale for sample in imported.samples) or adapter.scale is None
        return list(imported.samples)


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    return Replica(tmp_path)


@pytest.fixture
def facts() -> Callable[[list[Sample], str], list[object]]:
    """One field of every sample."""
    return lambda samples, field: [getattr(sample, field) for sample in samples]
