"""Constants of the measuring teacher.

Made by `benchmarks/fit_measuring_teacher.py`; do not edit by hand.
"""

PRISTINE: dict[str, tuple[float, float]] = {
    "noise_sigma": (0.4194, 0.3823),
    "speck_share": (-8.1267, 0.6778),
    "edge_slope": (-0.5582, 0.0952),
    "block_step": (-2.6617, 0.3455),
    "false_contours": (-0.2071, 0.151),
    "mean_luma": (-0.1553, 0.6398),
    "luma_spread": (3.6524, 0.3355),
    "luma_span": (-0.6851, 0.3282),
    "clipped_ends": (-5.8089, 0.0037),
    "colourfulness": (3.5624, 0.3774),
    "colour_by_spread": (-0.1689, 0.4842),
    "colour_by_mean": (-1.1921, 0.5145),
    "edge_tint": (-1.9385, 0.5154),
    "neutral_tint": (0.1744, 0.1623),
}
"""Mean and standard deviation of each measure over crops of pristine photographs."""

LADDERS: dict[str, tuple[float, ...]] = {
    "grain": (1.102, 1.992, 3.2, 4.572, 6.203, 7.827),
    "specks": (1.317, 3.462, 4.829, 6.06, 7.092, 7.822),
    "blur": (1.007, 1.849, 3.236, 5.298, 8.573, 12.01),
    "blocks": (1.272, 2.727, 4.542, 5.778, 6.371, 7.63),
    "smear": (1.096, 0.716, 1.363, 2.064, 2.658, 3.199),
    "bands": (1.458, 15.573, 20.261, 23.682, 28.278, 33.52),
    "dark": (0.977, 0.927, 1.512, 2.137, 2.819, 3.803),
    "bright": (1.111, 0.458, 0.965, 1.478, 2.065, 2.984),
    "dull": (0.647, 0.757, 1.453, 2.363, 3.553, 5.508),
    "harsh": (-0.066, 14.213, 261.035, 522.5, 733.741, 935.981),
    "pale": (0.807, 0.96, 1.678, 2.536, 3.907, 8.226),
    "vivid": (1.308, 0.486, 1.093, 1.75, 2.34, 2.754),
    "cast": (0.495, 0.411, 0.959, 1.49, 2.1, 2.666),
}
"""Per defect six z-scores: what nine of ten pristine photographs stay below, then the medians of levels 1 to 5."""
