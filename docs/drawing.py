"""The drawing of the architecture page: rooms of the import contract, and files between programs.

``python docs/make.py`` writes it to docs/images/architecture.svg.
"""

from __future__ import annotations

import html
import re
import tomllib
from pathlib import Path

FILES = (
    ("check", "images, readings, boxes .csv"),
    ("agree", "measurements.csv, raters.csv"),
    ("fuse", "consensus.csv"),
    ("complete", "completeness.csv, todo.csv"),
    ("gate", "manifest.json, todo.csv"),
    ("masks", "masks/, masks.csv"),
    ("risk", "risk.csv"),
    ("dataset, train", "nnUNet_raw/, nnUNet_results/"),
    ("evaluate, compare", "scores.csv, comparison.csv"),
    ("report", "report.html"),
)
"""Command -> files that it writes into the folder of results."""
BESIDE = {"samgen": "masks from boxes", "train": "nnU-Net"}
"""Packages that stand on crowdqc, from the top."""
WIDTH, LEFT, ROW, GAP = 900, 480, 28, 7
"""Of the drawing, of the rooms, of a box, between boxes; in px."""
WIDEST = 4
"""Rooms beside each other; a layer of more has several rows."""
PALE, LINE, INK, BLUE = "#eef3f8", "#9db2c6", "#1a1e24", "#0072b2"


def layers() -> list[list[str]]:
    """Rooms of each layer of the contract in pyproject.toml, from the top."""
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    rows = next(c["layers"] for c in contracts if c["name"] == "crowdqc is layered")
    return [[name for name in re.findall(r"\w+", row) if name != "__main__"] for row in rows]


def drawing() -> str:
    """The whole drawing as SVG."""
    rows = [row[k : k + WIDEST] for row in layers() for k in range(0, len(row), WIDEST)]
    parts = [_text(0, 14, "Rooms of crowdqc: imports point down", bold=True)]
    for place, row in enumerate(rows):
        parts += _row(row, top=26 + place * (ROW + GAP))
    parts += _beside(top=26)
    parts += _files(top=26)
    height = 26 + max(len(rows), len(FILES) + 3) * (ROW + GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-10 -10 {WIDTH + 20} {height + 20}" '
        f'width="{WIDTH + 20}" font-family="system-ui, sans-serif" font-size="13" role="img" '
        f'aria-label="Rooms of crowdqc and the files that its commands write">\n'
        f'<rect x="-10" y="-10" width="{WIDTH + 20}" height="{height + 20}" fill="#fff"/>\n'
        f"{chr(10).join(parts)}\n</svg>\n"
    )


def _row(names: list[str], top: float) -> list[str]:
    width = (LEFT - 130 - GAP * (len(names) - 1)) / len(names)
    return [
        part
        for place, name in enumerate(names)
        for part in _box(place * (width + GAP), top, width, text=name)
    ]


def _beside(top: float) -> list[str]:
    """Packages that use crowdqc, to the right of its rooms."""
    x, tall = LEFT - 120, 3 * ROW + 2 * GAP
    parts = []
    for place, (name, what) in enumerate(BESIDE.items()):
        y = top + place * (tall + GAP)
        parts += _box(x, y, 120, text=name, tall=tall)
        parts.append(_text(x + 60, y + tall / 2 + 20, what, middle=True, small=True))
    return parts


def _files(top: float) -> list[str]:
    """Commands, one below the other, each with what it writes."""
    x, parts = LEFT + 50, [_text(LEFT + 50, 14, "Commands, and the files between them", bold=True)]
    parts += _box(x, top, WIDTH - x, text="annotation files of many raters", fill="#fff")
    for place, (command, files) in enumerate(FILES, 1):
        y = top + place * (ROW + GAP)
        parts.append(f'<path d="M{x + 20} {y - GAP}v{GAP}" stroke="{LINE}" stroke-width="2"/>')
        parts += _box(x, y, WIDTH - x, text="")
        parts.append(_text(x + 12, y + 19, command, bold=True, colour=BLUE))
        parts.append(_text(WIDTH - 12, y + 19, files, end=True))
    return parts


def _box(
    x: float, y: float, width: float, *, text: str, tall: float = ROW, fill: str = PALE
) -> list[str]:
    rect = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{tall:g}" rx="5" '
    middle = _text(x + width / 2, y + tall / 2 + 5, text, middle=True)
    return [f'{rect}fill="{fill}" stroke="{LINE}"/>', *([middle] if text else [])]


def _text(  # noqa: PLR0913 - how a text looks
    x: float,
    y: float,
    text: str,
    *,
    bold: bool = False,
    middle: bool = False,
    end: bool = False,
    small: bool = False,
    colour: str = INK,
) -> str:
    anchor = "middle" if middle else "end" if end else "start"
    look = f'font-size="{11 if small else 13}" font-weight="{600 if bold else 400}"'
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" {look} fill="{colour}">'
        f"{html.escape(text)}</text>"
    )
