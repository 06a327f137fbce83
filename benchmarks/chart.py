"""Draws the table as an SVG with bars on a logarithmic scale. It has colours for light and for dark pages."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from html import escape

from benchmarks.measure import median
from benchmarks.report import seconds
from benchmarks.rows import Row

LABELS, BARS, END = 250, 470, 110
"""Widths in pixels of the three columns: names of the rows, bars, and space for the text after the longest bar."""

HEAD, ROW, BAR = 56, 44, 14
"""Heights in pixels of the head, of a row and of a bar."""

STYLE = """\
svg { font: 12px system-ui, sans-serif; }
.ground { fill: #ffffff; } text { fill: #24292f; } .quiet { fill: #57606a; } line { stroke: #d0d7de; }
.other { fill: #8c959f; } .ours { fill: #1a7f64; } .ratio { font-weight: 600; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0d1117; } text { fill: #e6edf3; } .quiet { fill: #9198a1; } line { stroke: #30363d; }
  .other { fill: #6e7681; } .ours { fill: #2ea583; }
}"""


def svg(rows: Sequence[Row], others: Sequence[str], ours: str) -> str:
    """Returns the SVG. Each row has the seconds of another pipeline above the seconds of ours.

    Args:
        rows: the rows of the table. A row without both pipelines is left out.
        others: names of other pipelines. A row shows the first one that it has.
        ours: the name of our pipeline.
    """
    pairs = []
    for row in rows:
        other = next((name for name in others if row.samples.get(name)), None)
        if other and row.samples.get(ours):
            pairs.append((row.name, median(row.samples[other]).seconds, median(row.samples[ours]).seconds))
    scale = Scale(*(time for _, *times in pairs for time in times))
    height = HEAD + ROW * len(pairs) + 8
    width = LABELS + BARS + END
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}" width="{width}">',
        f"<title>Seconds, {escape(others[0])} and {escape(ours)}, on a logarithmic scale</title>",
        f"<style>\n{STYLE}\n</style>",
        f'<rect class="ground" width="{width}" height="{height}" rx="6"/>',
        *_head(others[0], ours),
        *_grid(scale, height),
    ]
    for number, (name, slow, fast) in enumerate(pairs):
        parts += _row(HEAD + ROW * number, name, scale, slow, fast)
    return "\n".join([*parts, "</svg>", ""])


class Scale:
    """The logarithmic scale, from seconds to pixels. It begins and ends at a power of ten."""

    def __init__(self, *values: float) -> None:
        self.first = math.floor(math.log10(min(values)))
        self.last = math.ceil(math.log10(max(values)))

    @property
    def powers(self) -> range:
        """The exponents of the powers of ten that have a line."""
        return range(self.first, self.last + 1)

    def width(self, value: float) -> float:
        """Returns the width in pixels of the bar for a value in seconds."""
        return BARS * (math.log10(value) - self.first) / max(1, self.last - self.first)


def _head(other: str, ours: str) -> list[str]:
    second = LABELS + 26 + 7 * len(other)
    return [
        f'<rect class="other" x="{LABELS}" y="12" width="12" height="12"/>',
        f'<text x="{LABELS + 18}" y="22">{escape(other)}</text>',
        f'<rect class="ours" x="{second}" y="12" width="12" height="12"/>',
        f'<text x="{second + 18}" y="22">{escape(ours)}</text>',
    ]


def _grid(scale: Scale, height: int) -> list[str]:
    parts = []
    for power in scale.powers:
        x = LABELS + scale.width(10.0**power)
        parts.append(f'<line x1="{x:.1f}" y1="{HEAD - 6}" x2="{x:.1f}" y2="{height - 8}"/>')
        parts.append(f'<text class="quiet" x="{x:.1f}" y="{HEAD - 12}" text-anchor="middle">{10.0**power:g} s</text>')
    return parts


def _row(top: int, name: str, scale: Scale, slow: float, fast: float) -> list[str]:
    lines = textwrap.wrap(name, 38, break_on_hyphens=False)[:2]
    middle = top + BAR + 4 - 7 * (len(lines) - 1)
    words = [
        f'<text x="{LABELS - 10}" y="{middle + 14 * number}" text-anchor="end">{escape(line)}</text>'
        for number, line in enumerate(lines)
    ]
    return [
        *words,
        *_bar("other", top, scale.width(slow), seconds(slow)),
        *_bar("ours", top + BAR + 2, scale.width(fast), seconds(fast), f"{slow / fast:.1f}x"),
    ]


def _bar(kind: str, top: int, width: float, figure: str, ratio: str = "") -> list[str]:
    more = f' <tspan class="ratio">{ratio}</tspan>' if ratio else ""
    return [
        f'<rect class="{kind}" x="{LABELS}" y="{top}" width="{width:.1f}" height="{BAR}" rx="1"/>',
        f'<text x="{LABELS + width + 5:.1f}" y="{top + 11}">{figure}{more}</text>',
    ]
