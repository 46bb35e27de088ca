"""BRISQUE and NIQE as systems to stand beside: BRISQUE learns from labels, NIQE from pristine pictures alone.

Both are the published measures with features of our own (`data.natural_statistics`), fitted in the run that they stand
in, so that no file of unknown origin decides a number. Shape letters: N samples, F 36 features, P patches.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pondera.core.kernel_ridge import choose_kernel_ridge, fit_kernel_ridge
from pondera.core.records import Assessment, FloatArray, LabelScale, Sample
from pondera.data.images import load_image
from pondera.data.natural_statistics import PATCH, brisque_features, niqe_features
from pondera.errors import DatasetError, MediaError
from pondera.evaluate.baselines import Baseline, labelled_samples

T = TypeVar("T")

NIQE_SCALE = LabelScale(-100.0, 0.0)  # minus NIQE, so that higher is better; pristine is near -3, ruined near -20
_SHARP = 0.75  # share of the sharpest patch's sharpness above which a pristine patch counts, from the paper
_MOST_TRAINING = 5000  # samples that BRISQUE is fitted on: the kernel matrix takes 200 MB there
_NUM_FEATURES = 36
_THREADS = 4


@dataclass(frozen=True)
class PristineModel:
    """The multivariate Gaussian of patch features of pristine pictures.

    Args:
        mean_F: [36].
        covariance_FF: [36, 36].
        num_pictures: that it was fitted on.
        num_patches: of them that were sharp enough.
    """

    mean_F: FloatArray = field(repr=False)
    covariance_FF: FloatArray = field(repr=False)
    num_pictures: int
    num_patches: int

    def distance(self, feature_PF: FloatArray) -> float:
        """NIQE of an image from the features of its patches; 0 is pristine, there is no upper bound.

        Raises:
            ValueError: there are fewer than two patches.

        Source: Mittal, Soundararajan and Bovik 2013, equation 10: the root of d' ((S1 + S2) / 2)^-1 d with the
            pseudo-inverse of the authors' program.
        """
        if len(feature_PF) < 2:
            raise ValueError(f"NIQE needs two patches of {PATCH} x {PATCH} pixels, got {len(feature_PF)}")
        gap_F = self.mean_F - feature_PF.mean(axis=0)
        pooled_FF = (self.covariance_FF + np.cov(feature_PF, rowvar=False)) / 2
        return math.sqrt(max(float(gap_F @ np.linalg.pinv(pooled_FF) @ gap_F), 0.0))


def fit_pristine(pictures: Sequence[str | Path]) -> PristineModel:
    """Fit the model of NIQE.

    Args:
        pictures: image files without visible damage, each at least 96 x 96. Of each the patches count that are
            sharper than 0.75 times its sharpest one.

    Raises:
        DatasetError: they have fewer sharp patches than a covariance of 36 features needs.
        MediaError: a picture cannot be read, or is too small.

    Source: as `PristineModel`. Deviation: the pictures. The authors' file rests on 125 photographs that are not
        published as a list, so that values of two models differ; only those of one model compare.
    """
    kept = []
    for path, found in zip(pictures, _measured(pictures, niqe_features), strict=True):
        if isinstance(found, MediaError):
            raise MediaError(f"{path}: not a pristine picture for NIQE: {found}")
        feature_PF, sharpness_P = found
        kept.append(feature_PF[sharpness_P > _SHARP * sharpness_P.max()])
    num_patches = sum(map(len, kept))
    if num_patches <= _NUM_FEATURES:
        raise DatasetError(
            f"{len(pictures)} pristine pictures have {num_patches} sharp patches of {PATCH} x {PATCH} pixels; NIQE "
            f"needs more than {_NUM_FEATURES} to fit its model: give more or larger pictures"
        )
    feature_PF = np.concatenate(kept)
    return PristineModel(feature_PF.mean(axis=0), np.cov(feature_PF, rowvar=False), len(pictures), num_patches)


def niqe_predictor(model: PristineModel) -> Baseline:
    """Minus NIQE on [-100, 0], so that higher is better. It has never seen a label: correlations and the fitted RMSE
    say how good it is, its values on the scale of a label say nothing.

    An image with fewer than two patches, or a video, has no score.

    Args:
        model: of pristine pictures.
    """
    digest = hashlib.sha256(model.mean_F.tobytes() + model.covariance_FF.tobytes()).hexdigest()[:12]

    def score(feature: tuple[FloatArray, FloatArray]) -> float:
        return max(NIQE_SCALE.low, -model.distance(feature[0]))

    return Baseline(
        "NIQE",
        _assessing(niqe_features, score, NIQE_SCALE, f"niqe:{digest}"),
        {"pristine_pictures": model.num_pictures, "pristine_patches": model.num_patches},
    )


def brisque_predictor(samples: Sequence[Sample], *, seed: int = 0) -> Baseline:
    """The 36 features of BRISQUE and a kernel ridge regression to the label; answers are kept on the scale.

    Width and ridge are chosen in five folds of the training contents. Of more than 5,000 training samples as many are
    drawn.

    Args:
        samples: to fit; labels are brought to [1, 5] when their scales differ. Videos and unlabelled ones are left out.
        seed: of the draw and the folds.

    Raises:
        ValueError: no sample has a label, or all are of one content.
        MediaError: a training image cannot be read.

    Source: Mittal, Moorthy and Bovik 2012. Deviation: kernel ridge regression in place of a support vector machine,
        on features of our own, so that the authors' model file does not fit.
    """
    labelled, scale = labelled_samples([s for s in samples if s.kind == "image"], "BRISQUE baseline")
    drawn = np.sort(np.random.default_rng(seed).permutation(len(labelled))[:_MOST_TRAINING])
    chosen = [labelled[n] for n in drawn]
    rows = []
    for found in _measured([sample.path() for sample in chosen], brisque_features):
        if isinstance(found, MediaError):
            raise found
        rows.append(found)
    feature_NF = np.array(rows)
    label_N = np.array([sample.mos_on(scale) for sample in chosen])
    contents = [f"{sample.dataset}/{sample.content}" for sample in chosen]
    width, ridge = choose_kernel_ridge(feature_NF, label_N, contents, seed=seed)
    model = fit_kernel_ridge(feature_NF, label_N, width=width, ridge=ridge)

    def score(feature_F: FloatArray) -> float:
        return min(max(float(model.predict(feature_F[None])[0]), scale.low), scale.high)

    digest = hashlib.sha256(model.weight_M.tobytes() + model.point_MF.tobytes()).hexdigest()[:12]
    return Baseline(
        "BRISQUE",
        _assessing(brisque_features, score, scale, f"brisque:{digest}"),
        {"fitted_on": len(chosen), "regression": f"kernel ridge, width {width:g}, ridge {ridge:g}"},
    )


def _assessing(
    features: Callable[[NDArray[np.uint8]], T], score: Callable[[T], float], scale: LabelScale, fingerprint: str
) -> Callable[[Sequence[Sample]], list[Assessment]]:
    """A system out of features and a score of them."""

    def answer(sample: Sample, found: T | MediaError) -> Assessment:
        value, error = math.nan, None
        try:
            if isinstance(found, MediaError):
                raise ValueError(str(found))
            value = score(found)
        except ValueError as reason:
            error = str(reason)
        return Assessment(
            sample.path(), value, scale, "baseline", valid=error is None, error=error, fingerprint=fingerprint
        )

    def assess(samples: Sequence[Sample]) -> list[Assessment]:
        found = _measured([sample.path() for sample in samples], features)
        return [answer(sample, item) for sample, item in zip(samples, found, strict=True)]

    return assess


def _measured(paths: Sequence[str | Path], features: Callable[[NDArray[np.uint8]], T]) -> list[T | MediaError]:
    """Features of every file, or why there are none, in order."""

    def measure(path: str | Path) -> T | MediaError:
        try:
            return features(load_image(path))
        except MediaError as error:
            return error
        except ValueError as error:  # too small
            return MediaError(f"{path}: {error}")

    with ThreadPoolExecutor(min(os.cpu_count() or 1, _THREADS)) as pool:
        return list(pool.map(measure, paths))
