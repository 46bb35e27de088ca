"""Rungs of the severities of faults of time, for the measuring teacher and for prompts.

Made by `benchmarks/fit_video_teacher.py`; do not edit by hand.
"""

LADDERS: dict[str, tuple[float, ...]] = {
    "repeated": (0.0, 0.17021, 0.34043, 0.48936, 0.65957, 0.91489),
    "standstill": (0.0, 0.08511, 0.19149, 0.31915, 0.51064, 0.76596),
    "unevenness": (0.1052, 0.9446, 1.86819, 3.1812, 5.33298, 8.9479),
    "flicker": (0.00645, 0.0091, 0.01444, 0.02262, 0.0351, 0.05593),
    "shake": (0.00026, 0.00236, 0.00466, 0.00935, 0.0189, 0.03001),
}
"""Per measure: what nine of ten undamaged clips stay below, then the medians of levels 1 to 5."""
