"""Ridge regression with a Gaussian kernel: what stands in for the support vector machine of BRISQUE.

A library would bring a machine-learning package for thirty lines of algebra. Shape letters: N samples to predict,
M training samples, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pondera.core.records import FloatArray

WIDTHS = (0.5, 1.0, 2.0, 4.0)
RIDGES = (0.003, 0.03, 0.3)
_FOLDS = 5
_MOST_TO_CHOOSE = 1500  # samples that width and ridge are chosen on: the cost grows with the third power


@dataclass(frozen=True)
class KernelRidge:
    """A fitted regressor.

    Args:
        point_MF: training features, standardised.
        weight_M: of the kernel at each of them.
        centre_F: mean of the training features.
        spread_F: their standard deviation; 1 where a feature never varies.
        intercept: mean training label.
        width: of the kernel, see `fit_kernel_ridge`.
        ridge: as there.
    """

    point_MF: FloatArray = field(repr=False)
    weight_M: FloatArray = field(repr=False)
    centre_F: FloatArray = field(repr=False)
    spread_F: FloatArray = field(repr=False)
    intercept: float
    width: float
    ridge: float

    def predict(self, feature_NF: FloatArray) -> FloatArray:
        """Labels of new samples, [N]; far from every training sample this is the mean training label."""
        x_NF = (feature_NF - self.centre_F) / self.spread_F
        return self.intercept + _kernel(x_NF, self.point_MF, self.width) @ self.weight_M


def fit_kernel_ridge(feature_MF: FloatArray, label_M: FloatArray, *, width: float, ridge: float) -> KernelRidge:
    """Minimise the squared error plus `ridge` times the squared norm in the space of the kernel.

    Args:
        feature_MF: finite numbers; they are standardised here.
        label_M: finite numbers; their mean is taken off and added again.
        width: of the kernel exp(-|x - z|^2 / (2 width^2 F)): 1 is the spread of a single feature.
        ridge: > 0, in units of the kernel's diagonal.

    Raises:
        ValueError: width or ridge is not positive, there is no sample, or the lengths differ.

    Source: kernel ridge regression, Saunders, Gammerman and Vovk 1998.
    """
    from scipy.linalg import cho_factor, cho_solve

    if width <= 0 or ridge <= 0:
        raise ValueError(f"width and ridge must be > 0, got {width} and {ridge}")
    if not len(label_M) or len(feature_MF) != len(label_M):
        raise ValueError(f"needs as many labels as rows of features, got {len(label_M)} and {len(feature_MF)}")
    centre_F, spread_F = feature_MF.mean(axis=0), feature_MF.std(axis=0)
    spread_F = np.where(spread_F > 0, spread_F, 1.0)
    point_MF = (feature_MF - centre_F) / spread_F
    kernel_MM = _kernel(point_MF, point_MF, width)
    kernel_MM[np.diag_indices_from(kernel_MM)] += ridge
    intercept = float(label_M.mean())
    weight_M = cho_solve(cho_factor(kernel_MM, overwrite_a=True), label_M - intercept)
    return KernelRidge(point_MF, weight_M, centre_F, spread_F, intercept, width, ridge)


def choose_kernel_ridge(
    feature_MF: FloatArray,
    label_M: FloatArray,
    content_M: Sequence[str],
    *,
    widths: Sequence[float] = WIDTHS,
    ridges: Sequence[float] = RIDGES,
    seed: int = 0,
) -> tuple[float, float]:
    """The width and the ridge of least squared error in five folds of training contents.

    Args:
        feature_MF: as in `fit_kernel_ridge`; of more than 1,500 samples as many are drawn.
        label_M: as there.
        content_M: samples of one content stay in one fold.
        widths: to choose from.
        ridges: to choose from.
        seed: of the folds and the draw.

    Raises:
        ValueError: there are fewer than two contents.
    """
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.permutation(len(label_M))[:_MOST_TO_CHOOSE])
    feature_MF, label_M = feature_MF[drawn], label_M[drawn]
    fold_M = _folds([content_M[m] for m in drawn], rng)
    candidates = [(width, ridge) for width in widths for ridge in ridges]

    def error(width: float, ridge: float) -> float:
        total = 0.0
        for fold in np.unique(fold_M):
            held = fold_M == fold
            fitted = fit_kernel_ridge(feature_MF[~held], label_M[~held], width=width, ridge=ridge)
            total += float(((fitted.predict(feature_MF[held]) - label_M[held]) ** 2).sum())
        return total

    return min(candidates, key=lambda candidate: error(*candidate))


def _folds(content_M: Sequence[str], rng: np.random.Generator) -> NDArray[np.int64]:
    contents, number_M = np.unique(np.array(content_M), return_inverse=True)
    if len(contents) < 2:
        raise ValueError(f"needs samples of at least two contents, got {len(contents)}")
    folds: NDArray[np.int64] = (rng.permutation(len(contents)) % _FOLDS)[number_M]
    return folds


def _kernel(x_NF: FloatArray, z_MF: FloatArray, width: float) -> FloatArray:
    distance_NM = (x_NF**2).sum(axis=1)[:, None] + (z_MF**2).sum(axis=1) - 2 * x_NF @ z_MF.T
    return np.asarray(np.exp(np.maximum(distance_NM, 0.0) / (-2 * width**2 * x_NF.shape[1])))
