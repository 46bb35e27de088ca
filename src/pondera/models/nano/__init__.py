"""The built-in nano model: small enough to ship, real enough for every stage.

Importing this package registers it with transformers' Auto classes.
"""

from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageTextToText, AutoProcessor

from pondera.models.nano.build import build_nano
from pondera.models.nano.configuration import NanoConfig
from pondera.models.nano.modeling import NanoForConditionalGeneration, NanoModel
from pondera.models.nano.processing import NanoImageProcessor, NanoProcessor

__all__ = [
    "NanoConfig",
    "NanoForConditionalGeneration",
    "NanoImageProcessor",
    "NanoModel",
    "NanoProcessor",
    "build_nano",
]

AutoConfig.register("pondera_nano", NanoConfig, exist_ok=True)
AutoModel.register(NanoConfig, NanoModel, exist_ok=True)
AutoModelForImageTextToText.register(NanoConfig, NanoForConditionalGeneration, exist_ok=True)
AutoImageProcessor.register(NanoConfig, slow_image_processor_class=NanoImageProcessor, exist_ok=True)
AutoProcessor.register(NanoConfig, NanoProcessor, exist_ok=True)
