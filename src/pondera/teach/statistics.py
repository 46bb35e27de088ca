"""Constants of the measuring teacher.

Made by `benchmarks/fit_measuring_teacher.py`; do not edit by hand.
"""

PRISTINE: dict[str, tuple[float, float]] = {
    "noise_sigma": (0.32, 0.4304),
    "speck_share": (-8.2057, 0.8168),
    "edge_slope": (-0.5796, 0.0868),
    "block_step": (-2.683, 0.4124),
    "false_contours": (-0.1984, 0.1655),
    "mean_luma": (-0.3684, 0.4561),
    "luma_spread": (3.629, 0.371),
    "luma_span": (-0.6451, 0.3724),
    "clipped_ends": (-5.7963, 0.0881),
    "colourfulness": (3.6311, 0.5032),
    "colour_by_spread": (-0.0796, 0.5656),
    "colour_by_mean": (-1.0264, 0.5941),
    "edge_tint": (-1.7775, 0.4436),
    "neutral_tint": (0.1641, 0.1665),
}
"""Mean and standard deviation of each measure over crops of pristine photographs."""

LADDERS: dict[str, tuple[float, ...]] = {
    "grain": (1.088, 1.918, 3.015, 4.279, 5.753, 7.16),
    "specks": (1.559, 2.955, 4.104, 5.13, 5.98, 6.595),
    "blur": (1.352, 2.074, 3.609, 6.017, 9.186, 12.935),
    "blocks": (1.297, 2.747, 4.034, 4.583, 5.25, 6.309),
    "smear": (1.109, 0.882, 1.412, 1.737, 2.16, 2.691),
    "bands": (1.376, 14.387, 18.594, 21.833, 25.813, 30.515),
    "dark": (1.246, 0.848, 1.669, 2.551, 3.52, 4.964),
    "bright": (1.282, 1.058, 1.586, 2.14, 3.197, 4.858),
    "dull": (1.008, 0.277, 0.853, 1.64, 2.668, 4.352),
    "harsh": (-0.146, 4.746, 10.157, 21.145, 28.666, 40.687),
    "pale": (0.877, 0.598, 1.2, 1.924, 3.084, 7.142),
    "vivid": (0.988, 0.12, 0.628, 1.159, 1.773, 2.433),
    "cast": (0.744, 0.399, 0.854, 1.448, 2.034, 2.707),
}
"""Per defect six z-scores: what nine of ten pristine photographs stay below, then the medians of levels 1 to 5."""
