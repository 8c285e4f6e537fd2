"""The gallery of findings and the picture of the landing page: ``python docs/gallery.py``.

Each picture is of a small simulated study: four raters who draw well, and one with a fault. What
stands below it is what ``crowdqc`` reports. Writes docs/gallery.md and docs/images/gallery.
"""

from __future__ import annotations

import base64
import html
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from crowdqc.config import FaultyRater, Simulate
from crowdqc.formats.slices import write_slices
from crowdqc.simulate import simulate_study
from crowdqc.simulate.abdomen import LABELS, Abdomen, make_abdomen
from crowdqc.simulate.demo import RATERS, write_pictures
from crowdqc.stages.pipeline import PIPELINE, open_run

HERE = Path(__file__).parent
PICTURES = HERE / "images" / "gallery"
GOOD = {
    name: FaultyRater(noise=0.3 + 0.05 * n) for n, name in enumerate(("ann", "bob", "cem", "dot"))
}
CASES = ("c1", "c2", "c3")
GREY, RED, GREEN, BLUE, INK = "#9fb4c8", "#e4572e", "#2a9d5c", "#3f7fc1", "#1a1e24"
STUDY = """[study]
name = "gallery"
seed = 1
[labels]
{labels}
[annotations]
format = "yolo"
path = "boxes/{{rater}}/{{case}}-slice{{slice}}.txt"
empty_file = "nothing"
[images]
path = "images/{{case}}.nii.gz"
picture = "rot90"
window = {{ level = 60, width = 400 }}
[fuse]
min_raters = 2
"""


@dataclass(frozen=True)
class Entry:
    """One finding of the gallery.

    Parameters
    ----------
    check : str
        The check that finds it.
    title, about, remedy : str
        What it is called, how it looks, and what to do.
    fault : FaultyRater or callable
        What the rater "eve" does; a function changes the folder of the others' boxes instead.
    picture : {"slice", "strip"}
        Boxes on one slice, or slices of all raters side by side.
    label : str
        Label to show.
    """

    check: str
    title: str
    about: str
    remedy: str
    fault: FaultyRater | Callable[[Path], None]
    picture: str = "slice"
    label: str = "liver"


def copy_ann(boxes: Path) -> None:
    """Eve's files are ann's."""
    shutil.copytree(boxes / "ann", boxes / "eve")


def whole_image(boxes: Path) -> None:
    """Eve draws the whole image as liver."""
    shutil.copytree(boxes / "ann", boxes / "eve")
    for path in (boxes / "eve").glob("*.txt"):
        path.write_text("3 0.5 0.5 1 1\n", encoding="utf-8")


ENTRIES = (
    Entry(
        "organ-gap",
        "A gap",
        "Slices inside an organ have no box of this rater, though there is one above and below.",
        "The work list (`todo.csv`) names the slices to draw; send it with `crowdqc tasks`.",
        FaultyRater(noise=0.4, skip=0.3),
        "strip",
    ),
    Entry(
        "run-truncated",
        "A run that ends too early",
        "The rater stops while the organ still goes on in the boxes of the others.",
        "The work list says on which slices to go on.",
        FaultyRater(noise=0.4, stop=0.4),
        "strip",
    ),
    Entry(
        "organ-missing",
        "An organ that was never drawn",
        "Every other rater drew it in this case.",
        "Ask whether the rater knows the organ; the work list names the slices.",
        FaultyRater(noise=0.4, omit=["spleen"]),
        "strip",
        "spleen",
    ),
    Entry(
        "labels-swapped",
        "Two labels exchanged",
        "Right boxes under wrong names: here what eve calls the right kidney is the left one.",
        "Exchange the labels in the rater's files, or let the rater do it; do not redraw.",
        FaultyRater(noise=0.4, swap=("right_kidney", "left_kidney")),
        label="right_kidney",
    ),
    Entry(
        "rater-shifts",
        "All boxes to one side",
        "The same distance in the same direction on every slice: often a setting of the tool.",
        "Find out why before anything is redrawn; a shift by a setting can be undone.",
        FaultyRater(noise=0.4, shift=(2.0, -1.5)),
    ),
    Entry(
        "boxes-too-large",
        "Boxes that are too large",
        "The organ is inside, with a margin that the guideline does not ask for.",
        "Show the rater the guideline: tight, or with how much margin?",
        FaultyRater(noise=0.4, scale=1.35),
    ),
    Entry(
        "rater-scatters",
        "Edges all over the place",
        "Right on average, but each edge is off by several pixels, now this way and now that.",
        "Train the rater; until then the boxes count little in the consensus.",
        FaultyRater(noise=2.2),
    ),
    Entry(
        "rater-adds",
        "Boxes where there is nothing",
        "Nobody else drew anything there.",
        "Look at some of them in `crowdqc review` before the rater is rejected.",
        FaultyRater(noise=0.4, extra=2.0),
    ),
    Entry(
        "boxes-copied",
        "A copier",
        "Boxes equal another rater's to the last digit: two names, one voice.",
        "See [someone copies](howto/someone-copies.md). Files do not say who copied from whom.",
        copy_ann,
    ),
    Entry(
        "boxes-repeated",
        "One box for many slices",
        "The box was drawn once and pasted on the slices that follow, while the organ changes.",
        "The boxes between are guesses: have them drawn again.",
        FaultyRater(noise=0.0, hold=5),
    ),
    Entry(
        "double-box",
        "Two boxes of one organ",
        "An organ is there once on a slice, and this rater has two boxes of it.",
        "One is usually left over from a correction: have one removed.",
        FaultyRater(noise=0.4, extra=0.5),
    ),
    Entry(
        "boxes-whole-image",
        "The whole image",
        "A box that holds everything agrees with nobody, and says nothing.",
        "Reject the boxes; ask whether the task was understood.",
        whole_image,
    ),
)


@dataclass
class Made:
    """A simulated study and what was found in it."""

    boxes: pd.DataFrame
    readings: pd.DataFrame
    consensus: pd.DataFrame
    raters: pd.DataFrame
    findings: list[dict[str, Any]] = field(default_factory=list)
    pictures: dict[str, np.ndarray] = field(default_factory=dict)


def make(
    folder: Path, fault: FaultyRater | Callable[[Path], None] | dict[str, FaultyRater]
) -> Made:
    """Simulate a study, run the stages, and read what they wrote."""
    raters = dict(GOOD)
    if isinstance(fault, dict):
        raters = fault
    elif isinstance(fault, FaultyRater):
        raters["eve"] = fault
    bodies = {case: make_abdomen(np.random.default_rng([7, n])) for n, case in enumerate(CASES)}
    for case, body in bodies.items():
        write_pictures(folder / "images" / f"{case}.nii.gz", body.density, body)
    study = simulate_study(
        ((case, body.mask) for case, body in bodies.items()),
        name="gallery",
        labels=LABELS,
        simulate=Simulate(raters=raters),
        seed=1,
    )
    write_slices(study, folder / "boxes", ids={label: str(n) for n, label in enumerate(LABELS)})
    if callable(fault):
        fault(folder / "boxes")
    names = "\n".join(
        f'{n} = {{ name = "{name}", value = {v} }}' for n, (name, v) in enumerate(LABELS.items())
    )
    (folder / "study.toml").write_text(STUDY.format(labels=names), encoding="utf-8")
    run = open_run(folder / "study.toml", say=lambda _: None)
    for stage in ("check", "agree", "fuse", "complete", "gate"):
        PIPELINE.ensure(stage, run)
    store = run.store
    found = [
        json.loads(line)
        for path in sorted(store.folder.glob("*findings.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    tables = {name: store.read(name) for name in ("boxes", "readings", "consensus", "raters")}
    return Made(**tables, findings=found, pictures={c: grey(b) for c, b in bodies.items()})


def grey(body: Abdomen) -> np.ndarray:
    """Slices as the raters see them."""
    return (np.clip((body.density + 140) / 400, 0, 1) * 255).astype(np.uint8)


def place(made: Made, entry: Entry) -> dict[str, Any]:
    """The finding that is shown: one of eve's, of the label that is shown where there is one."""
    own = [f for f in made.findings if f["check"] == entry.check]
    if not own:
        raise SystemExit(
            f"{entry.check}: was not found; {sorted({f['check'] for f in made.findings})}"
        )
    return min(
        own, key=lambda f: (f.get("label") not in {entry.label, None, ""}, f.get("rater") != "eve")
    )


def slice_picture(made: Made, case: str, number: int, *, label: str) -> str:
    """A slice with the boxes of one label: one rater's in red, the others' in grey."""
    picture = made.pictures[case][number]
    columns = picture.shape[1]
    own = on_slice(made, case, number)
    parts = [image(picture)]
    shown = own[own["label"] == label]
    for row in shown.sort_values("rater", key=lambda names: names == "eve").itertuples():
        mine = row.rater == "eve"
        parts.append(box(row, RED if mine else "#bcd6ee", wide=1.3 if mine else 0.7))
        if mine:
            words = f"eve: {label.replace('_', ' ')}"
            left = min(row.x0, columns - 2.8 * len(words))
            parts.append(text(left, row.y0 - 2, words, size=5, fill="#ffb199"))
    top, bottom = crop(picture)
    top, bottom = min(top, int(shown["y0"].min())), max(bottom, int(shown["y1"].max()))
    return svg(columns, bottom - top, parts, width=440, top=top)


def crop(picture: np.ndarray) -> tuple[int, int]:
    """First and last row of a slice with a body on it, with a little air."""
    rows = np.flatnonzero((picture > 20).any(axis=1))
    return max(0, int(rows[0]) - 6), min(len(picture), int(rows[-1]) + 7)


def on_slice(made: Made, case: str, number: int) -> pd.DataFrame:
    """Boxes of a slice."""
    return made.boxes[(made.boxes["case"] == case) & (made.boxes["slice"] == number)]


def strip_picture(made: Made, case: str, label: str) -> str:
    """Which slices of a case have a box of a label: a row for each rater."""
    own = made.boxes[(made.boxes["case"] == case) & (made.boxes["label"] == label)]
    n, names = len(made.pictures[case]), sorted(made.readings["rater"].unique())
    drawn = {(row.rater, row.slice) for row in own.itertuples()}
    others = {k for rater, k in drawn if rater != "eve"}
    parts = [text(0, 10, f"{label.replace('_', ' ')}, slices of case {case}", size=9, fill="#555")]
    for row, name in enumerate(names):
        top = 18 + 18 * row
        parts.append(text(0, top + 10, name, size=10, bold=name == "eve"))
        for k in range(n):
            has, expected = (name, k) in drawn, k in others
            fill = BLUE if has else RED if name == "eve" and expected else "#e9eef3"
            parts.append(f'<rect x="{40 + k * 9}" y="{top}" width="8" height="13" fill="{fill}"/>')
    return svg(44 + 9 * n, 22 + 18 * len(names), parts, width=560)


def image(picture: np.ndarray, *, x: float = 0, y: float = 0, scale: float = 1) -> str:
    """A slice as part of an SVG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).quantize(32).save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    rows, columns = picture.shape
    return (
        f'<image x="{x}" y="{y}" width="{columns * scale}" height="{rows * scale}" '
        f'href="data:image/png;base64,{data}"/>'
    )


def box(row: Any, colour: str, *, wide: float, dashed: bool = False) -> str:
    """A box as part of an SVG."""
    dash = ' stroke-dasharray="3 2"' if dashed else ""
    return (
        f'<rect x="{row.x0:.1f}" y="{row.y0:.1f}" width="{row.x1 - row.x0:.1f}" '
        f'height="{row.y1 - row.y0:.1f}" fill="none" stroke="{colour}" stroke-width="{wide}"{dash}/>'
    )


def text(
    x: float, y: float, words: str, *, size: float = 12, fill: str = INK, bold: bool = False
) -> str:
    """Words as part of an SVG."""
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{fill}"{weight}>{html.escape(words)}</text>'


def svg(columns: float, rows: float, parts: Sequence[str], *, width: int, top: float = 0) -> str:
    """A whole drawing."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 {top} {columns} {rows}" width="{width}" '
        f'font-family="system-ui, sans-serif">\n<rect y="{top}" width="{columns}" height="{rows}" '
        f'fill="#fff"/>\n{chr(10).join(parts)}\n</svg>\n'
    )


def draw(made: Made, entry: Entry) -> tuple[str, str]:
    """The picture of an entry, and what crowdqc reports."""
    found = place(made, entry)
    case = found.get("case") or CASES[0]
    label = entry.label
    if entry.picture == "strip":
        picture = strip_picture(made, case, found.get("label") or label)
    else:
        number = found.get("slice")
        if number is None:
            number = best_slice(made, case, label)
        picture = slice_picture(made, case, int(number), label=label)
    return picture, found["message"]


def best_slice(made: Made, case: str, label: str) -> int:
    """The slice on which most is drawn of a label, the largest box first."""
    own = made.boxes[(made.boxes["case"] == case) & (made.boxes["label"] == label)]
    own = own.assign(area=(own["x1"] - own["x0"]) * (own["y1"] - own["y0"]))
    return int(own.groupby("slice")["area"].sum().idxmax())


def page(said: dict[str, str]) -> str:
    """The page of the gallery."""
    lines = [
        "# Gallery of findings",
        "",
        "What faults look like. Each picture is of a small simulated study: ann, bob, cem and dot draw well (grey),",
        "eve does not (red). The sentence below it is crowdqc's own, from `findings.jsonl`, `agree.findings.jsonl` or",
        "`complete.findings.jsonl`. Made by `python docs/gallery.py`; what each check is called in a policy stands in",
        "[what a policy may name](policy-names.md).",
        "",
    ]
    for entry in ENTRIES:
        lines += [
            f"## {entry.title}",
            "",
            f"![{entry.title}: {entry.about}](images/gallery/{entry.check}.svg)",
            "",
            f"{entry.about}",
            "",
            f"> `{entry.check}`: {said[entry.check]}",
            "",
            entry.remedy,
            "",
        ]
    return "\n".join(lines)


WORDS = {
    "rater-scatters": "edges scatter",
    "rater-adds": "boxes of nothing",
    "rater-misses": "misses organs",
    "rater-shifts": "shifted",
    "boxes-too-large": "too large",
    "boxes-too-small": "too small",
    "labels-confused": "labels exchanged",
    "labels-swapped": "labels exchanged",
    "boxes-guessed": "guesses",
    "boxes-astray": "elsewhere",
    "organ-gap": "gaps",
}
"""Fault -> what the landing picture calls it."""
VERDICTS = {"accept": GREEN, "review": "#c98a00", "reject": RED}
HUES = ("#56b4e9", "#e69f00", "#cc79a7", "#f0e442", "#d55e00")


def landing(made: Made) -> str:
    """What goes in, what is reported of it, what comes out: the demo's raters."""
    case, label = CASES[0], "liver"
    number = best_slice(made, case, label)
    picture = made.pictures[case][number]
    top, bottom = crop(picture)
    body, scale = image(picture[top:bottom], y=top), 300 / picture.shape[1]
    own, names = on_slice(made, case, number), list(made.raters["rater"])
    own = own[own["label"] == label]
    drawn = [box(row, HUES[names.index(row.rater)], wide=1.2) for row in own.itertuples()]
    fused = _fused(made, case, number, label=label)
    place_ = {"scale": scale, "top": top}
    parts = [
        *_panel(0, "1  Five people draw the liver", [body, *drawn], **place_),
        text(336, 20, "2  Who is reliable? What is missing?", size=15, bold=True),
        *_verdicts(made, case, top=44, left=336),
        *_panel(664, "3  One box, with its uncertainty", [body, *fused], **place_),
    ]
    parts += [
        f'<path d="M{x} 150 l14 10 l-14 10" fill="none" stroke="{GREY}" stroke-width="3"/>'
        for x in (311, 643)
    ]
    return svg(964, max((bottom - top) * scale + 40, 290), parts, width=964)


def _panel(left: float, title: str, parts: Sequence[str], *, scale: float, top: float) -> list[str]:
    return [
        text(left, 20, title, size=15, bold=True),
        f'<g transform="translate({left} {34 - top * scale:.1f}) scale({scale:.3f})">',
        *parts,
        "</g>",
    ]


def _verdicts(made: Made, case: str, *, top: float, left: float) -> list[str]:
    """A row for each rater: reliability, verdict, faults; and its slices of one organ."""
    label, parts = "liver", []
    own = made.boxes[(made.boxes["case"] == case) & (made.boxes["label"] == label)]
    drawn = {(r.rater, r.slice) for r in own.itertuples()}
    planes = sorted({k for _, k in drawn})
    for n, row in enumerate(made.raters.itertuples()):
        y, colour = top + n * 26, VERDICTS[row.verdict]
        faults = [WORDS.get(name, name) for name in json.loads(row.faults or "[]")]
        shown = f"{row.verdict}" + (f": {', '.join(dict.fromkeys(faults))}" if faults else "")
        width = 60 * row.reliability
        parts += [
            f'<rect x="{left}" y="{y}" width="9" height="9" fill="{HUES[n]}"/>',
            text(left + 14, y + 9, row.rater, size=12),
            f'<rect x="{left + 76}" y="{y}" width="60" height="10" fill="#e9eef3"/>',
            f'<rect x="{left + 76}" y="{y}" width="{width:.1f}" height="10" fill="{colour}"/>',
            text(left + 142, y + 9, shown[:34], size=11, fill=colour, bold=True),
        ]
    y = top + 5 * 26 + 22
    parts.append(
        text(left, y - 6, "slices with a box of the liver; red: missing", size=11, fill="#555")
    )
    for n, name in enumerate(made.raters["rater"]):
        for m, k in enumerate(planes):
            fill = BLUE if (name, k) in drawn else RED
            parts.append(
                f'<rect x="{left + 76 + m * 11}" y="{y + n * 17}" width="10" height="13" fill="{fill}"/>'
            )
        parts.append(text(left, y + 10 + n * 17, name, size=11))
    return parts


def _fused(made: Made, case: str, number: int, *, label: str) -> list[str]:
    """The fused box, a band of two spreads on each side, and who it rests on."""
    table = made.consensus
    row = next(
        table[
            (table["case"] == case) & (table["slice"] == number) & (table["label"] == label)
        ].itertuples()
    )
    spread = np.array([row.spread_x0, row.spread_y0, row.spread_x1, row.spread_y1])
    low = np.array([row.x0, row.y0, row.x1, row.y1]) - 2 * spread * (1, 1, -1, -1)
    high = np.array([row.x0, row.y0, row.x1, row.y1]) + 2 * spread * (1, 1, -1, -1)
    ring = (
        f'<path fill-rule="evenodd" fill="{GREEN}" fill-opacity="0.45" d="M{low[0]:.1f} {low[1]:.1f}H{low[2]:.1f}'
        f'V{low[3]:.1f}H{low[0]:.1f}ZM{high[0]:.1f} {high[1]:.1f}H{high[2]:.1f}V{high[3]:.1f}H{high[0]:.1f}Z"/>'
    )
    return [ring, box(row, GREEN, wide=1.2)]


if __name__ == "__main__":
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place_:
        drawn_ = landing(make(Path(place_), RATERS))
    (PICTURES / "landing.svg").write_text(drawn_, encoding="utf-8")
    messages = {}
    for one in ENTRIES:
        with tempfile.TemporaryDirectory() as place_:
            drawn, messages[one.check] = draw(make(Path(place_), one.fault), one)
        (PICTURES / f"{one.check}.svg").write_text(drawn, encoding="utf-8")
    (HERE / "gallery.md").write_text(page(messages), encoding="utf-8")
