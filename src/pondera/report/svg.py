"""Three small figures as inline SVG: scatter with curve, line, interval bars.

A plotting library would bring megabytes and fonts of its own. Here colours and type come from the page's style sheet,
so that figures follow light and dark, and every text is escaped. Coordinates are SVG units; a figure is about as wide
as a phone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

WIDTH, HEIGHT = 360.0, 280.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 12.0, 12.0, 42.0
_LABEL_CHARS = 41  # beside a number, in 12 px letters
MOST_POINTS = 2000  # more are thinned evenly; a page has to open on a phone

Points = Sequence[tuple[float, float]]


def scatter(
    points: Points, *, curve: Points = (), diagonal: bool = False, x_label: str, y_label: str, series: int = 0
) -> str:
    """Points with a fitted curve.

    Args:
        points: (x, y), finite; thinned evenly above `MOST_POINTS`.
        curve: (x, y) along a curve, in order.
        diagonal: draw x = y dashed.
        x_label: below the axis.
        y_label: beside the axis.
        series: number of the colour.
    """
    shown = thinned(points)
    x_low, x_high = _bounds([x for x, _ in points])
    y_low, y_high = _bounds([y for _, y in points])
    to_x, to_y = _axis(x_low, x_high, _LEFT, WIDTH - _RIGHT), _axis(y_low, y_high, HEIGHT - _BOTTOM, _TOP)
    parts = _frame((x_low, x_high), (y_low, y_high), to_x, to_y, x_label, y_label)
    if diagonal:
        low, high = max(x_low, y_low), min(x_high, y_high)
        if low < high:
            parts.append(_polyline([(low, low), (high, high)], to_x, to_y, "diagonal"))
    parts += [f'<circle class="dot s{series}" cx="{to_x(x):.1f}" cy="{to_y(y):.1f}" r="2.6"/>' for x, y in shown]
    inside = [(x, min(max(y, y_low), y_high)) for x, y in curve]
    if inside:
        parts.append(_polyline(inside, to_x, to_y, "fit"))
    return _svg(parts, f"{y_label} against {x_label}, {len(points)} points")


def line(points: Points, *, x_label: str, y_label: str, series: int = 0) -> str:
    """One curve over steps; faint as logged and, with many points, bold as a running mean.

    Args:
        points: (step, value), finite, by rising step.
        x_label: below the axis.
        y_label: beside the axis.
        series: number of the colour.
    """
    points = thinned(points)
    x_low, x_high = _bounds([x for x, _ in points], margin=0.0)
    y_low, y_high = _bounds([y for _, y in points])
    to_x, to_y = _axis(x_low, x_high, _LEFT, WIDTH - _RIGHT), _axis(y_low, y_high, HEIGHT - _BOTTOM, _TOP)
    parts = _frame((x_low, x_high), (y_low, y_high), to_x, to_y, x_label, y_label)
    smooth = _running_mean(points)
    parts.append(_polyline(points, to_x, to_y, f"line s{series}" + (" faint" if smooth else "")))
    if smooth:
        parts.append(_polyline(smooth, to_x, to_y, f"line s{series}"))
    if len(points) == 1:
        parts.append(
            f'<circle class="mark s{series}" cx="{to_x(points[0][0]):.1f}" cy="{to_y(points[0][1]):.1f}" r="4"/>'
        )
    return _svg(parts, f"{y_label} over {x_label}")


def intervals(rows: Sequence[tuple[str, float, float, float]], *, x_label: str, zero: bool = False) -> str:
    """One bar per row from low to high with a mark at the value.

    Args:
        rows: (label, value, low, high); rows whose value is NaN are named without a bar.
        x_label: below the axis.
        zero: draw a line at zero and keep it in view.
    """
    known = [number for row in rows for number in row[1:] if math.isfinite(number)]
    low, high = _bounds(known + ([0.0] if zero else []))
    height = _TOP + 40 * len(rows) + _BOTTOM
    to_x = _axis(low, high, 14.0, WIDTH - 14.0)
    bottom = height - _BOTTOM
    parts = _x_axis(low, high, to_x, bottom, x_label)
    if zero:
        parts.append(f'<line class="zero" x1="{to_x(0):.1f}" x2="{to_x(0):.1f}" y1="{_TOP}" y2="{bottom}"/>')
    for i, (label, value, left, right) in enumerate(rows):
        y = _TOP + 40 * i + 27
        number = f"{value:+.3f}" if zero else f"{value:.3f}"
        text = f"{_shortened(label)}  {number if math.isfinite(value) else 'undefined'}"
        parts.append(f'<text class="row" x="14" y="{y - 10:.0f}">{escape(text)}</text>')
        if math.isfinite(left) and math.isfinite(right):
            parts.append(f'<line class="bar s{i % 6}" x1="{to_x(left):.1f}" x2="{to_x(right):.1f}" y1="{y}" y2="{y}"/>')
        if math.isfinite(value):
            parts.append(f'<circle class="mark s{i % 6}" cx="{to_x(value):.1f}" cy="{y}" r="4.5"/>')
    return _svg(parts, x_label, height)


def thinned(points: Points) -> list[tuple[float, float]]:
    """At most `MOST_POINTS` of the points, evenly spaced in their order."""
    if len(points) <= MOST_POINTS:
        return list(points)
    return [points[i * len(points) // MOST_POINTS] for i in range(MOST_POINTS)]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers inside [low, high], about `count` of them."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _bounds(values: Sequence[float], margin: float = 0.05) -> tuple[float, float]:
    """Range of the values with a margin; never empty."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        reach = 0.5 * abs(low) or 0.5
        return low - reach, high + reach
    return low - margin * (high - low), high + margin * (high - low)


def _axis(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _frame(
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    to_x: Callable[[float], float],
    to_y: Callable[[float], float],
    x_label: str,
    y_label: str,
) -> list[str]:
    parts = []
    for value in ticks(*y_range):
        y = to_y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    middle = (HEIGHT - _BOTTOM + _TOP) / 2
    turn = f'transform="rotate(-90 11 {middle:.0f})"'
    parts.append(f'<text class="label" x="11" y="{middle:.0f}" {turn} text-anchor="middle">{escape(y_label)}</text>')
    return parts + _x_axis(*x_range, to_x, HEIGHT - _BOTTOM, x_label)


def _x_axis(low: float, high: float, to_x: Callable[[float], float], y: float, label: str) -> list[str]:
    parts = [f'<line class="axis" x1="{to_x(low):.1f}" x2="{to_x(high):.1f}" y1="{y}" y2="{y}"/>']
    for value in ticks(low, high):
        x = to_x(value)
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{y}" y2="{y + 4}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{y + 17}" text-anchor="middle">{_number(value)}</text>')
    centre = to_x((low + high) / 2)
    parts.append(f'<text class="label" x="{centre:.0f}" y="{y + 35}" text-anchor="middle">{escape(label)}</text>')
    return parts


def _polyline(points: Points, to_x: Callable[[float], float], to_y: Callable[[float], float], style: str) -> str:
    corners = " ".join(f"{to_x(x):.1f},{to_y(y):.1f}" for x, y in points)
    return f'<polyline class="{style}" points="{corners}"/>'


def _shortened(label: str) -> str:
    """A label that fits above its bar; of a long one the ends, which tell runs apart."""
    if len(label) <= _LABEL_CHARS:
        return label
    half = (_LABEL_CHARS - 1) // 2
    return f"{label[:half]}\N{HORIZONTAL ELLIPSIS}{label[-half:]}"


def _running_mean(points: Points) -> list[tuple[float, float]]:
    """Means over a tenth of the points; nothing below thirty points."""
    if len(points) < 30:
        return []
    reach = len(points) // 20
    means = []
    for i in range(len(points)):
        near = [value for _, value in points[max(0, i - reach) : i + reach + 1]]
        means.append((points[i][0], sum(near) / len(near)))
    return means


def _number(value: float) -> str:
    return f"{0.0 if abs(value) < 1e-12 else value:.4g}".replace("-", "\N{MINUS SIGN}")


def _svg(parts: Sequence[str], label: str, height: float = HEIGHT) -> str:
    box = f"0 0 {WIDTH:.0f} {height:.0f}"
    return f'<svg viewBox="{box}" role="img" aria-label="{escape(label, quote=True)}">{"".join(parts)}</svg>'
