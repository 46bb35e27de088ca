"""What each view of a video shows: linear read-outs of the label, behind the tower of the built-in video model.

    python benchmarks/video_readout.py quickstart-video/data/manifest.jsonl --json
    python benchmarks/video_readout.py clips/manifest.jsonl --limit 400

Every view and every piece of motion evidence of a clip becomes a vector: pictures by mean and spread of their image
tokens (place left out), the montage also by how much its cells change, words by the numbers in them. A ridge of fixed
strength on standardised vectors is fitted with one photograph left out at a time. Clips of the split `test` are not
read. "shuffled": the read-out is fitted and tested on montages whose frames are in random order.

It says what can be read, not what a model has learned to read: see benchmarks/video_views.py for that. SRCC; intervals
are 95 %, photographs drawn again.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Sequence
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import torch

from pondera.core.bootstrap import bootstrap_correlations, cluster_index, percentile_interval
from pondera.core.correlation import srcc
from pondera.core.records import Sample
from pondera.data.manifest import read_manifest
from pondera.data.motion_evidence import measure_motion, read_stretches
from pondera.data.motion_faults import fault_severities, measure_course
from pondera.data.presentation import Presentation, present, shuffled
from pondera.models import load_model
from pondera.models.nano.modeling import NUM_CHANGES
from pondera.quickstart_video import PARTS, is_in

ROWS: dict[str, tuple[str, ...]] = {
    "local frames": ("local",),
    "montage, its pictures": ("montage",),
    "montage, changes between its cells": ("changes",),
    "local frames and montage": ("local", "montage", "changes"),
    "facts": ("facts",),
    "severities": ("severities",),
    "strip of differences": ("strip",),
    "profile over time": ("profile",),
    "local frames, montage, facts": ("local", "montage", "changes", "facts"),
    "local frames, montage, strip": ("local", "montage", "changes", "strip"),
    "local frames, montage, profile": ("local", "montage", "changes", "profile"),
    "local frames, montage, severities (the recipe)": ("local", "montage", "changes", "severities"),
    "everything": ("local", "montage", "changes", "facts", "severities", "strip", "profile"),
}
RIDGE = 100.0  # on standardised features
NUM_LOCAL = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", help="of `pondera data clips` or of the quickstart for videos")
    parser.add_argument("--limit", type=int, help="clips, drawn at random")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    args = parser.parse_args()
    samples = [sample for sample in read_manifest(args.manifest) if sample.split != "test"]
    random.Random(0).shuffle(samples)
    samples = samples[: args.limit]
    torch.set_num_threads(1)
    views = Views()
    seen = [views.of(sample) for sample in samples]
    found = {row: measure(samples, seen, names) for row, names in ROWS.items()}
    result = {"num_clips": len(samples), "num_photographs": len({s.content for s in samples}), "rows": found}
    print(json.dumps(result, indent=2) if args.json else table(result))


class Views:
    """From a clip to one vector a view."""

    def __init__(self) -> None:
        loaded = load_model("nano-video", device="cpu")
        self.layout = replace(loaded.card.view, strip=True, profile=True)
        self.model, self.images = loaded.family.model.model, loaded.family.processor.image_processor
        self.num_tiles = self.model.config.global_tiles**2

    def of(self, sample: Sample) -> dict[str, np.ndarray]:
        shown = present(sample, self.layout)
        montage, *others = self._cells(shown)
        mixed = self._cells(shuffled(shown, sample, seed=sum(sample.id.encode())))[0]
        strip, profile = others[NUM_LOCAL:]
        stretches = read_stretches(sample.path())
        return {
            "local": self._tokens(np.concatenate(others[:NUM_LOCAL])),
            "montage": self._tokens(montage[: self.num_tiles]),
            "changes": self._changes(montage),
            "montage, shuffled": self._tokens(mixed[: self.num_tiles]),
            "changes, shuffled": self._changes(mixed),
            "strip": self._tokens(strip),
            "profile": self._tokens(profile),
            "facts": np.array(astuple(measure_motion(stretches)), dtype=float),
            "severities": np.array(list(fault_severities(measure_course(stretches)).values())),
        }

    @torch.no_grad()
    def _cells(self, shown: Presentation) -> list[np.ndarray]:
        """Of each picture: [views, cells, channels], the last of which say how much changed."""
        pictures = [part for part in shown.parts if isinstance(part, np.ndarray)]
        pixel_values = self.images.preprocess(pictures)["pixel_values"]
        return [picture.numpy() for picture in self.model.encode_images(pixel_values)]

    @torch.no_grad()
    def _tokens(self, cells: np.ndarray) -> np.ndarray:
        flat = torch.from_numpy(cells[..., :-NUM_CHANGES].reshape(-1, cells.shape[-1] - NUM_CHANGES))
        tokens = self.model.projector.without_place(flat)
        return torch.cat([tokens.mean(0), tokens.std(0)]).numpy()

    def _changes(self, montage: np.ndarray) -> np.ndarray:
        """Sorted, so that a linear reader need not know where a change was."""
        change = montage[: self.num_tiles, :, -NUM_CHANGES:].reshape(-1, NUM_CHANGES)
        return np.sort(change, axis=0).ravel()


def measure(samples: Sequence[Sample], seen: Sequence[dict[str, np.ndarray]], names: Sequence[str]) -> dict[str, Any]:
    """SRCC of a read-out by part, in order and with shuffled montages where it reads any."""
    mos, contents = np.array([sample.mos for sample in samples]), np.array([sample.content for sample in samples])
    said = {"in order": read_out([vector(clip, names) for clip in seen], mos, contents)}
    if {"montage", "changes"} & set(names):
        said["shuffled"] = read_out([vector(clip, names, ", shuffled") for clip in seen], mos, contents)
    rows = [{"distortions": [{"type": d.type} for d in sample.distortions]} for sample in samples]
    masks = {part: np.array([is_in(part, row) for row in rows]) for part in PARTS}
    return {
        order: {part: with_interval(score[mask], mos[mask], contents[mask]) for part, mask in masks.items()}
        for order, score in said.items()
    }


def vector(clip: dict[str, np.ndarray], names: Sequence[str], suffix: str = "") -> np.ndarray:
    return np.concatenate([clip.get(name + suffix, clip[name]) for name in names])


def read_out(vectors: Sequence[np.ndarray], mos: np.ndarray, contents: np.ndarray) -> np.ndarray:
    """Predictions for each photograph's clips by a ridge that was fitted to all others."""
    features, said = np.stack(vectors), np.zeros(len(mos))
    for content in np.unique(contents):
        train = contents != content
        mean, std = features[train].mean(0), features[train].std(0) + 1e-9
        known, new = (features[train] - mean) / std, (features[~train] - mean) / std
        weights = np.linalg.solve(
            known.T @ known + RIDGE * np.eye(known.shape[1]), known.T @ (mos[train] - mos[train].mean())
        )
        said[~train] = new @ weights + mos[train].mean()
    return said


def with_interval(score: np.ndarray, mos: np.ndarray, contents: np.ndarray) -> dict[str, Any]:
    drawn = bootstrap_correlations(score, mos, cluster_N=cluster_index(contents, len(mos)))["srcc"]
    return {"n": len(mos), "srcc": float(srcc(score, mos)), "ci": percentile_interval(drawn)}


def table(result: dict[str, Any]) -> str:
    """Markdown."""
    lines = [f"{result['num_clips']} clips of {result['num_photographs']} photographs", ""]
    lines += [f"| views | {' | '.join(PARTS)} | {PARTS[-1]}, shuffled |", "|---" * (len(PARTS) + 2) + "|"]
    for row, found in result["rows"].items():
        cells = [cell(found["in order"][part]) for part in PARTS]
        mixed = found.get("shuffled")
        lines.append(f"| {row} | {' | '.join(cells)} | {cell(mixed[PARTS[-1]]) if mixed else ''} |")
    return "\n".join(lines)


def cell(entry: dict[str, Any]) -> str:
    low, high = entry["ci"]
    return "undefined" if math.isnan(entry["srcc"]) else f"{entry['srcc']:.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main()
