"""What all tests share: no network, one thread, a command-line runner and an untrained model in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: test processes share the cores
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# How long one example took says more about a busy machine than about the code.
settings.register_profile("pondera", deadline=None)
settings.load_profile("pondera")


@pytest.fixture
def pondera(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run a command in this process: `pondera("score", path)` -> result with exit_code, stdout, stderr."""
    from typer.testing import CliRunner

    from pondera.cli import app

    monkeypatch.setenv("COLUMNS", "160")

    def run(*args: object) -> Any:
        result = CliRunner().invoke(app, [str(arg) for arg in args], prog_name="pondera")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder of a tiny nano model with random weights: it scores, in fast mode, and knows nothing."""
    from pondera.engine.run import save_model
    from pondera.models import ModelCard
    from tests.models.tiny import tiny_family

    folder = tmp_path_factory.mktemp("models") / "untrained"
    save_model(tiny_family(), ModelCard(max_new_tokens=16, recipe="untrained"), folder)
    return folder
