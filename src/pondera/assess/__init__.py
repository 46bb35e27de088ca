"""The assessor: one object that scores media."""

from pondera.assess.assessor import Assessor, Comparison, load
from pondera.assess.by_kind import stream_by_kind
from pondera.assess.explain import ShownPictures

__all__ = ["Assessor", "Comparison", "ShownPictures", "load", "stream_by_kind"]
