"""Pondera: reasoning-based visual quality assessment.

import pondera
assessor = pondera.load("nano")
print(assessor("photo.jpg", mode="reason").reasoning)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pondera._version import __version__

if TYPE_CHECKING:
    from pondera.assess import Assessor

__all__ = ["__version__", "load"]


def load(model: str = "nano", **options: Any) -> Assessor:
    """Load a model that scores images; see `pondera.assess.load`."""
    from pondera.assess import load as load_assessor  # loads torch

    return load_assessor(model, **options)
