"""The layers hold on the real package, and every module is inside the contract."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_package_is_named_in_the_layers():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = config["tool"]["importlinter"]["contracts"][0]
    named = {name.strip(" ()") for layer in contract["layers"] for name in layer.split("|")}
    folder = ROOT / "src" / "pondera"
    packages = {f"pondera.{path.parent.name}" for path in folder.glob("*/__init__.py")}
    modules = {f"pondera.{path.stem}" for path in folder.glob("[a-z]*.py")}
    assert packages | modules <= named


def test_nothing_imports_the_command_line():
    folder = ROOT / "src" / "pondera"
    users = [
        str(path.relative_to(folder))
        for path in folder.rglob("*.py")
        if path.parent.name != "cli"
        and path != folder / "__main__.py"
        and "pondera.cli" in path.read_text(encoding="utf-8")
    ]
    assert users == []
