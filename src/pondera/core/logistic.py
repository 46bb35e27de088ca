"""Logistic fits before PLCC and RMSE: the 4- and the 5-parameter curve, deterministic and never raising.

Libraries start `curve_fit` at different points and end at different places. Here both curves are linear in all but
two parameters (where the curve bends, and how sharply), so a grid over those two finds the right valley and a
bounded least-squares search walks to its bottom; the linear parameters are solved exactly each time.
Shape letters: N rows, R the same rows by rising score, L columns of the linear part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from pondera.core.correlation import IntArray, is_defined, paired_rows
from pondera.core.correlation import plcc as _plcc
from pondera.core.records import FloatArray

_STEEPEST = 0.05  # smallest scale, in standard deviations of the score: a sharper step separates single points
_FLATTEST = 20.0  # largest scale, in widths of the score range: there the curve is straight to 1e-4
_REACH = 30.0  # how far outside the scores the bend may lie, in widths: there the curve is exponential to 1e-4
_VALLEYS = 8  # of the grid that are walked down; the deepest point of a grid need not lie in the deepest valley
_GRID_POINTS = 2000  # more rows than this are averaged in groups of neighbours to choose the start


@dataclass(frozen=True)
class LogisticFit:
    """A fitted curve.

    Args:
        num_parameters: 4 or 5.
        centre: score at which the curve bends (beta 3).
        scale: width of the bend in score units, > 0 (|beta 4| of the 4-parameter, 1 / beta 2 of the 5-parameter).
        coefficient_L: weights of the constant, the sigmoid tail and (5 parameters) the centred score.
        flip: the tail is taken from above, 1 - sigmoid, which keeps its digits where the sigmoid is near 1.
        log_peak: the tail is divided by exp(log_peak), its largest value over the fitted rows.
        offset: mean of the fitted scores.
        fitted_N: the curve at the fitted rows.
        plcc: of the curve with the labels; NaN when there is no curve.
        converged: the search ended at a minimum.
        note: what is remarkable, "" otherwise.
    """

    num_parameters: int
    centre: float = math.nan
    scale: float = math.nan
    coefficient_L: tuple[float, ...] = ()
    flip: bool = False
    log_peak: float = 0.0
    offset: float = 0.0
    fitted_N: FloatArray = field(default_factory=lambda: np.zeros(0), repr=False)
    plcc: float = math.nan
    converged: bool = False
    note: str = ""

    def predict(self, score_N: ArrayLike) -> FloatArray:
        """The curve at any scores; NaN everywhere when there is no curve."""
        score_N = np.asarray(score_N, dtype=np.float64)
        if not self.coefficient_L:
            return np.full(score_N.shape, math.nan)
        log_tail_N = _log_tail((score_N - self.centre) / self.scale, self.flip)
        value_N = self.coefficient_L[0] + self.coefficient_L[1] * np.exp(log_tail_N - self.log_peak)
        return value_N + self.coefficient_L[2] * (score_N - self.offset) if self.num_parameters == 5 else value_N

    @property
    def beta(self) -> tuple[float, ...]:
        """The parameters as published; empty when there is no curve.

        4: b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|)).   5: b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5.
        """
        if not self.coefficient_L:
            return ()
        height = self.coefficient_L[1] * math.exp(-self.log_peak) * (-1 if self.flip else 1)
        low = self.coefficient_L[0] - (height if self.flip else 0.0)
        if self.num_parameters == 4:
            return (low + height, low, self.centre, self.scale)
        slope = self.coefficient_L[2]
        return (height, 1 / self.scale, self.centre, slope, low + height / 2 - slope * self.offset)


def fit_logistic(score_N: ArrayLike, mos_N: ArrayLike, *, num_parameters: int = 4) -> LogisticFit:
    """Fit the curve that maps scores to labels with the least squared error.

    The curve may fall (its PLCC is positive all the same: read it beside SRCC, which is on raw scores); the note
    says so. Non-finite values, constant inputs and too few rows give a fit without a curve, and a note.

    Args:
        score_N: raw scores.
        mos_N: labels.
        num_parameters: 4 or 5.

    Raises:
        ValueError: the shapes differ, or num_parameters is neither 4 nor 5.

    Source: VQEG FR-TV phase II (2003) for 4, Sheikh, Sabir and Bovik (2006) for 5 parameters. Deviation: scale and
        place of the bend are searched in a stated box (see the constants), because a step between two rows is no
        mapping of a score.
    """
    if num_parameters not in (4, 5):
        raise ValueError(f"num_parameters must be 4 or 5, got {num_parameters}")
    score_N, mos_N = paired_rows(score_N, mos_N)
    if score_N.size <= num_parameters:
        return LogisticFit(num_parameters, note=f"{score_N.size} rows are too few for {num_parameters} parameters")
    if not is_defined(score_N, mos_N):
        return LogisticFit(num_parameters, note="scores or labels are constant or not finite")
    order_N = np.lexsort((mos_N, score_N))  # sums in one order, so that the order of the rows cannot matter
    score_R, mos_R = score_N[order_N], mos_N[order_N]
    x_R = (score_R - score_R.mean()) / score_R.std()
    box = _search_box(x_R)
    start = _search(*_neighbour_means(x_R, mos_R), box, num_parameters)
    place, converged = _refine(x_R, mos_R, start, box, num_parameters)
    fit = _build(score_R, mos_R, place=place, converged=converged, box=box, num_parameters=num_parameters)
    fitted_N = np.empty(score_N.size)
    fitted_N[order_N] = fit.fitted_N
    return replace(fit, fitted_N=fitted_N)


def _search_box(x_N: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Bounds of (centre, log scale) in standardised units."""
    width = float(np.ptp(x_N))
    low = np.array([x_N.min() - _REACH * width, math.log(_STEEPEST)])
    return low, np.array([x_N.max() + _REACH * width, math.log(_FLATTEST * width)])


def _neighbour_means(x_N: FloatArray, y_N: FloatArray) -> tuple[FloatArray, FloatArray]:
    """At most `_GRID_POINTS` rows: means of equally many neighbours (x is sorted)."""
    if x_N.size <= _GRID_POINTS:
        return x_N, y_N
    edge = np.linspace(0, x_N.size, _GRID_POINTS + 1).astype(np.int64)
    count = np.diff(edge)
    return np.add.reduceat(x_N, edge[:-1]) / count, np.add.reduceat(y_N, edge[:-1]) / count


def _search(x_N: FloatArray, y_N: FloatArray, box: tuple[FloatArray, FloatArray], num_parameters: int) -> FloatArray:
    """The best of the minima that the deepest valleys of a grid lead to.

    Five parameters have many optima in a loose cloud, some of them narrow: a bend between a few rows, on a slope. The
    grid is as fine as the narrowest that counts, or the search ends beside the best.
    """
    width = float(np.ptp(x_N))
    reach = width * np.array([10.0, 3.0, 1.5, 0.7, 0.3])
    centres = np.concatenate([x_N.min() - reach, np.linspace(x_N.min(), x_N.max(), 61), x_N.max() + reach[::-1]])
    scales = np.linspace(math.log(_STEEPEST * 1.2), math.log(4 * width), 14)
    places = [np.array([centre, scale]) for centre in centres for scale in scales]
    errors = np.array([_sum_of_squares(x_N, y_N, place, num_parameters) for place in places])
    found = []
    for index in _valleys(errors.reshape(centres.size, scales.size))[:_VALLEYS]:
        place, _ = _refine(x_N, y_N, places[index], box, num_parameters, legs=1)
        found.append((_sum_of_squares(x_N, y_N, place, num_parameters), place))
    return min(found, key=lambda pair: pair[0])[1]


def _valleys(error_CS: FloatArray) -> IntArray:
    """Flat indices of the grid points no higher than their eight neighbours, deepest first."""
    padded = np.pad(error_CS, 1, constant_values=np.inf)
    rows, columns = error_CS.shape
    around = [padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    index = np.flatnonzero(error_CS <= np.minimum.reduce(around))
    return index[np.argsort(error_CS.ravel()[index], kind="stable")]


def _refine(
    x_N: FloatArray,
    y_N: FloatArray,
    start: FloatArray,
    box: tuple[FloatArray, FloatArray],
    num_parameters: int,
    legs: int = 8,
) -> tuple[FloatArray, bool]:
    """Walk to the bottom of a valley in legs; converged when the search says so or a leg gains less than 1e-8."""
    from scipy.optimize import least_squares

    margin = 1e-6 * (box[1] - box[0])
    place, error = start, math.inf
    for _ in range(legs):
        result = least_squares(
            lambda place: _residuals(x_N, y_N, place, num_parameters),
            np.clip(place, box[0] + margin, box[1] - margin),
            bounds=box,
            xtol=1e-8,
            ftol=1e-10,
            gtol=1e-10,
            max_nfev=40,
        )
        # Along a flat valley floor (a tail that is all but straight) steps never end, but they gain nothing either.
        if result.status > 0 or error - result.cost <= 1e-8 * result.cost:
            return result.x, True
        place, error = result.x, result.cost
    return place, False


def _residuals(x_N: FloatArray, y_N: FloatArray, place: FloatArray, num_parameters: int) -> FloatArray:
    column_LN, _, _ = _columns(x_N, place, num_parameters)
    return y_N - _solve(column_LN, y_N) @ column_LN


def _sum_of_squares(x_N: FloatArray, y_N: FloatArray, place: FloatArray, num_parameters: int) -> float:
    residual_N = _residuals(x_N, y_N, place, num_parameters)
    return float(residual_N @ residual_N)


def _columns(x_N: FloatArray, place: FloatArray, num_parameters: int) -> tuple[FloatArray, bool, float]:
    """The linear part: constant, tail scaled to a largest value of 1, and the score itself for 5 parameters."""
    z_N = (x_N - place[0]) / math.exp(place[1])
    flip = bool(z_N.mean() > 0)
    log_tail_N = _log_tail(z_N, flip)
    peak = float(log_tail_N.max())
    columns = [np.ones_like(x_N), np.exp(log_tail_N - peak)]
    return np.stack(columns + ([x_N] if num_parameters == 5 else [])), flip, peak


def _log_tail(z_N: FloatArray, flip: bool) -> FloatArray:
    """log sigmoid(z), or log(1 - sigmoid(z)) when flipped, without loss of digits."""
    return -np.logaddexp(0.0, z_N if flip else -z_N)


def _solve(column_LN: FloatArray, y_N: FloatArray) -> FloatArray:
    """Least squares through the normal equations of the centred columns: N may be a million."""
    mean_L = column_LN.mean(axis=1)
    centred_LN = column_LN[1:] - mean_L[1:, None]
    gram_LL = centred_LN @ centred_LN.T
    # A tail that is straight over the scores repeats the third column; the shorter solution is as good.
    slope_L = np.linalg.lstsq(gram_LL, centred_LN @ y_N, rcond=1e-13)[0]
    return np.concatenate([[y_N.mean() - slope_L @ mean_L[1:]], slope_L])


def _build(
    score_N: FloatArray,
    mos_N: FloatArray,
    *,
    place: FloatArray,
    converged: bool,
    box: tuple[FloatArray, FloatArray],
    num_parameters: int,
) -> LogisticFit:
    mean, std = float(score_N.mean()), float(score_N.std())
    x_N = (score_N - mean) / std
    column_LN, flip, peak = _columns(x_N, place, num_parameters)
    coefficient_L = _solve(column_LN, mos_N)
    fitted_N = coefficient_L @ column_LN
    value = _plcc(fitted_N, mos_N)
    if num_parameters == 5:
        coefficient_L[2] /= std
    return LogisticFit(
        num_parameters,
        centre=float(mean + place[0] * std),
        scale=float(math.exp(place[1]) * std),
        coefficient_L=tuple(float(c) for c in coefficient_L),
        flip=flip,
        log_peak=peak,
        offset=mean,
        fitted_N=fitted_N,
        plcc=value,
        converged=converged and not math.isnan(value),
        note=_note(score_N, fitted_N, place, box, converged),
    )


def _note(
    score_N: FloatArray, fitted_N: FloatArray, place: FloatArray, box: tuple[FloatArray, FloatArray], converged: bool
) -> str:
    notes = []
    if not converged:
        notes.append("the search did not converge")
    if place[1] - box[0][1] < 1e-3:
        notes.append("as steep as the search allows")
    if box[1][1] - place[1] < 1e-3:
        notes.append("straight: the scores call for no bend")
    if _plcc(score_N, fitted_N) < 0:
        notes.append("the fitted curve falls: higher scores go with lower labels")
    return "; ".join(notes)
