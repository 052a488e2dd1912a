"""Draws SVG by hand: a canvas with a light and a dark theme, and nothing from elsewhere."""

from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from chat_bench.peers import CEILING, OURS

MARGIN = 28
HEADER = 88
FOOTER = 16
LEGEND = 26

# How wide a character is on average, as a part of the font's size. Fonts differ, so whatever is
# laid out by it leaves some air.
CHARACTER = 0.57

# For each part: its colour in the light theme and in the dark one.
_COLOURS = {
    "paper": ("#ffffff", "#0d1117"),
    "ink": ("#1f2328", "#e6edf3"),
    "muted": ("#59636e", "#9198a1"),
    "rule": ("#d1d9e0", "#3d444d"),
    "grid": ("#e9edf1", "#21262d"),
    "bar": ("#b6bfc9", "#4a525c"),
    "pale": ("#dfe4ea", "#363d46"),
    OURS: ("#0969da", "#4493f8"),
    "soft": ("#9cc7f5", "#1f4f8f"),
    CEILING: ("#59636e", "#9198a1"),
    "axum": ("#bc4c00", "#f0883e"),
    "go": ("#1a7f64", "#3fb98f"),
    "gunicorn": ("#8250df", "#b48efa"),
    "flask": ("#9a6700", "#d8a531"),
}

_STYLE = """
text { font: 12px ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans",
  "Liberation Sans", Helvetica, Arial, sans-serif; font-variant-numeric: tabular-nums; }
.title { font-size: 18px; font-weight: 600; }
.subtitle { font-size: 13px; }
.panel { font-size: 13.5px; font-weight: 600; }
.strong { font-weight: 600; }
.small { font-size: 11px; }
.range { stroke-opacity: 0.55; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.heavy { stroke-width: 3; }
.dashed { stroke-dasharray: 5 4; }
.hollow { fill-opacity: 0; stroke-width: 1.5; }
"""


def css() -> str:
    """Each part's colour as fill and as stroke, in both themes."""
    themes = [
        "\n".join(
            f".{name} {{ fill: {colours[theme]}; }} .s-{name} {{ stroke: {colours[theme]}; }}"
            for name, colours in _COLOURS.items()
        )
        for theme in (0, 1)
    ]
    return f"{_STYLE}{themes[0]}\n@media (prefers-color-scheme: dark) {{\n{themes[1]}\n}}\n"


def colour(variant: str) -> str:
    """The class of a variant; one that nobody foresaw is grey."""
    return variant if variant in _COLOURS else "muted"


def text_width(text: str, size: float = 12) -> float:
    """About how wide it will be."""
    return len(text) * size * CHARACTER


@dataclass
class Canvas:
    """A chart with a heading. What it shows is also said in words, for those who cannot see it."""

    title: str
    subtitle: str
    words: str
    width: int = 900
    height: float = HEADER
    _parts: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, text: str, css: str = "ink", anchor: str = "start") -> None:
        where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        self._parts.append(f'<text class="{css}" {where}>{escape(text)}</text>')

    def rect(
        self, x: float, y: float, width: float, height: float, css: str, radius: float = 2
    ) -> None:
        size = f'width="{max(width, 0):.1f}" height="{height:.1f}" rx="{radius:g}"'
        self._parts.append(f'<rect class="{css}" x="{x:.1f}" y="{y:.1f}" {size}/>')

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str, width: float = 1) -> None:
        points = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        self._parts.append(f'<line class="{css}" {points} stroke-width="{width:g}"/>')

    def path(self, points: list[tuple[float, float]], css: str) -> None:
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polyline class="line {css}" points="{joined}"/>')

    def circle(self, x: float, y: float, radius: float, css: str) -> None:
        self._parts.append(f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>')

    def legend(self, entries: list[tuple[str, str]]) -> None:
        """Squares with names, in a row below the heading."""
        x, y = float(MARGIN), self.height - 4
        for name, css in entries:
            self.rect(x, y - 9, 10, 10, css)
            self.text(x + 15, y, name, "muted")
            x += 15 + text_width(name) + 20
        self.height += LEGEND

    def render(self) -> str:
        """The whole file."""
        size = f'viewBox="0 0 {self.width} {self.height:.0f}" width="{self.width}"'
        frame = f'width="{self.width - 1}" height="{self.height - 1:.0f}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} height="{self.height:.0f}"',
                'role="img" aria-labelledby="title desc">',
                f'<title id="title">{escape(self.title)}</title>',
                f'<desc id="desc">{escape(self.words)}</desc>',
                f"<style>{css()}</style>",
                f'<rect class="paper s-grid" x="0.5" y="0.5" {frame} rx="8"/>',
                f'<text class="title ink" x="{MARGIN}" y="36">{escape(self.title)}</text>',
                f'<text class="subtitle muted" x="{MARGIN}" y="57">{escape(self.subtitle)}</text>',
                *self._parts,
                "</svg>\n",
            ]
        )
