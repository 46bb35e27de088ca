"""What an installation needs beside the code is inside the wheel."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "src" / "pondera"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def data_files() -> list[Path]:
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
    return [path for path in files if not path.name.startswith(".")]


def test_every_data_file_is_packaged():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["pondera"]
    packaged = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    assert [str(path.relative_to(PACKAGE)) for path in data_files() if path not in packaged] == []


def test_every_folder_of_code_is_a_package():
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_photographs_take_less_than_four_megabytes():
    assert sum(path.stat().st_size for path in data_files() if path.suffix == ".webp") < 4_000_000


@pytest.mark.parametrize("extra", ["train", "video", "serve", "report", "vllm", "dev"])
def test_extras_are_declared(extra):
    assert PROJECT["project"]["optional-dependencies"][extra]


def test_constraints_pin_exact_versions_and_every_direct_requirement_of_the_tests():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(line.count("==") == 1 for line in pins)
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in pins}
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["train"], *extras["report"], *extras["dev"]]
    names = {text.partition(">")[0].partition("[")[0].strip().lower().replace("_", "-") for text in wanted}
    assert names - pinned - {"pondera"} == set()


@pytest.mark.parametrize("module", ["pondera", "pondera.cli"])
def test_the_package_runs_as_a_module(module):
    run = subprocess.run([sys.executable, "-m", module, "train", "--help"], capture_output=True, text=True, check=True)
    assert "Usage: pondera train" in run.stdout
