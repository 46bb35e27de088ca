"""Systems by name: every published one, and Pondera's own.

get_system("visualquality-r1")                  corrected: our reading of the paper, its known defects repaired
get_system("visualquality-r1@as_released")      the released code to the letter, on well-formed answers
get_system("preresq-r1-image", "stability")     a stage of a system with stages; the first one if not named
"""

from pondera.core.presets import images, preresq, styled, videos
from pondera.core.presets.registry import Preset, get_preset, get_system, list_systems

__all__ = ["Preset", "get_preset", "get_system", "images", "list_systems", "preresq", "styled", "videos"]
