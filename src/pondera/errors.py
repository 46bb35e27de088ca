"""Every error that Pondera raises on purpose.

    PonderaError                what a user can act on; the command line prints it without a traceback
    ├── ConfigError             a recipe, preset or option is wrong
    ├── ManifestError           a manifest line is wrong (file, line, value, way out)
    ├── DatasetError            a data set's own files are missing or not as expected
    ├── MediaError              one image or video cannot be read
    ├── ModelError              a model cannot be loaded or does not support what was asked
    ├── TeacherError            a teacher did not deliver
    ├── TrainingError           a run cannot go on
    └── MissingExtra            an optional dependency is not installed

A bad argument of a function is a plain ValueError. A bad roll-out in training is data, never an error.
"""


class PonderaError(Exception):
    """Base of all errors a user can act on."""


class ConfigError(PonderaError):
    """A recipe, preset or option is wrong."""


class ManifestError(PonderaError):
    """A manifest line is wrong."""


class DatasetError(PonderaError):
    """A data set's own files are missing or not as expected."""


class MediaError(PonderaError):
    """One image or video cannot be read."""


class ModelError(PonderaError):
    """A model cannot be loaded, or does not support what was asked."""


class TeacherError(PonderaError):
    """A teacher did not deliver."""


class TrainingError(PonderaError):
    """A training run cannot go on."""


class MissingExtra(PonderaError):  # noqa: N818 - reads as the instruction it carries
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f'{what}. Install it with: pip install "pondera[{extra}]"')
