"""What the numbers were made with: versions and machine, nothing that names a person or a place."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from pondera._version import __version__

_PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "scipy", "pillow")


def environment() -> dict[str, str]:
    """Versions of Pondera, Python and the packages that scores depend on, and the kind of machine.

    Versions are read from the installed packages; none is imported.
    """
    found = {"pondera": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {**found, "machine": f"{platform.system()} {platform.machine()}", "cores": str(os.cpu_count())}
