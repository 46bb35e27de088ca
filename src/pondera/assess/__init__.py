"""The assessor: one object that scores media."""

from pondera.assess.assessor import Assessor, Comparison, load

__all__ = ["Assessor", "Comparison", "load"]
