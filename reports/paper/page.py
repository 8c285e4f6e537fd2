"""The pages ``paper.md`` and ``paper.html``: tables as in the paper, figures, claims."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd

from crowdqc.findings import InputError
from crowdqc.writing import atomic
from reports.paper.boxplots import box_plot
from reports.paper.claims import Checked, check_all, check_annotations
from reports.paper.file import PaperFile, Remark, folder, read_paper
from reports.paper.quality import Quality, ask_gate, in_words
from reports.paper.scores import Pairing, read_pairings
from reports.paper.tables import judge, measure, signed

UNPRINTED = "not printed"
"""What stands where nothing was published."""
TITLES = {
    "volumes": "Table 2. Masks of SAM and MedSAM on BTCV, Dice by volume",
    "slices": "Table 3. The same by slice, on slices that show all five organs",
    "slices_all": "Table 3, every slice: each organ on all slices that have a mask of it",
    "nnunet_15": "Table 4. nnU-Net trained on 15 volumes: expert masks (GT) and SAM's",
    "nnunet_11": "Table 5. nnU-Net trained on 11 volumes: expert masks (GT) and SAM's",
    "msd": "Section 3.1, MSD: masks from simulated boxes, Dice by volume and by slice",
    "msd_nnunet": "Section 3.1, MSD: nnU-Net on expert masks (GT) and SAM's, 30 BTCV volumes",
    "filtering": "Section 3.2. Filtering: SAM's masks of 11 complete or of all 15 volumes",
    "control": "Section 3.2. The control: expert masks of the same 11 or 15 volumes",
}
"""Table -> caption, with the paper's own numbers; in the authors' notebook Table 5 comes first."""


@dataclass(frozen=True)
class Cell:
    """Our number, and what was published for it: each value, and whether it comes out."""

    ours: str
    published: tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class Mismatch:
    """A printed value that does not come out, and what becomes of the conclusion."""

    where: str
    printed: str
    ours: str
    means: str


@dataclass(frozen=True)
class Found:
    """All that the page says beside its tables."""

    checked: list[Checked]
    judged: pd.DataFrame
    wrong: list[Mismatch]
    quality: Quality | None


@dataclass(frozen=True)
class Sheet:
    """One table of the page, with its figure."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, int, tuple[Cell, ...], tuple[str, ...]], ...]
    figure: str

    @property
    def file(self) -> str:
        """The figure beside the Markdown page."""
        return f"images/paper-{self.name.replace('_', '-')}.svg"


def write_paper(path: Path) -> list[Path]:
    """Write ``paper.md``, ``paper.html`` and the figures for the paper file `path`.

    Parameters
    ----------
    path : Path
        A file such as ``reports/paper/paper.toml``.

    Returns
    -------
    list of Path
        The files written, the pages first.

    Raises
    ------
    InputError
        If the file, the scores or the annotations cannot be read, or a published value has no
        counterpart.
    """
    paper = read_paper(path)
    pairings = read_pairings(folder(path, paper.results))
    ours = measure(pairings)
    judged = judge(ours, paper.published)
    checked = check_all(ours, paper.bound, _annotations(paper, path))
    sheets = [_sheet(name, ours, judged=judged, pairings=pairings) for name in TITLES]
    found = Found(
        checked=checked,
        judged=judged,
        wrong=explain_mismatches(judged, paper.remark),
        quality=None
        if paper.annotated is None
        else ask_gate(paper.annotated, folder(path, paper.annotated.study), pairings),
    )
    return _write(folder(path, paper.out), sheets, found)


def explain_mismatches(judged: pd.DataFrame, remarks: Sequence[Remark]) -> list[Mismatch]:
    """Every printed value that does not come out, with what that means.

    Raises
    ------
    InputError
        If one has no remark, or a remark is of a value that comes out.
    """
    texts = {(r.table, r.row, r.column, r.printed): r.text for r in remarks}
    wrong = {
        (row.table, row.row, row.column, row.printed): row
        for row in judged[~judged["match"]].itertuples(index=False)
    }
    if odd := sorted(texts.keys() ^ wrong.keys()):
        raise InputError(f"'remark' must be of each value that does not come out; odd: {odd}.")
    return [
        Mismatch(
            where=f"{row.source}: {row.row}, {row.column}",
            printed=row.printed,
            ours=_p(row.ours) if math.isnan(row.ci) else f"{row.ours:.3f} ± {row.ci:.3f}",
            means=texts[key],
        )
        for key, row in wrong.items()
    ]


def _annotations(paper: PaperFile, path: Path) -> list[Checked]:
    if paper.annotated is None:
        return []
    return check_annotations(paper.annotated, folder(path, paper.annotated.study))


def _sheet(
    name: str, ours: pd.DataFrame, *, judged: pd.DataFrame, pairings: Sequence[Pairing]
) -> Sheet:
    mine = ours[ours["table"] == name]
    claims = judged[judged["table"] == name]
    shown = [pairing for pairing in pairings if pairing.table == name]
    columns = (mine["a"].iloc[0], mine["b"].iloc[0], "p")
    rows = tuple(
        (row.row, row.n, tuple(_cell(row, column, claims) for column in columns), _apart(row))
        for row in mine.itertuples(index=False)
    )
    figure = box_plot(shown, list(mine["p"]), title=f"Box plots. {TITLES[name]}")
    return Sheet(name, TITLES[name], columns, rows, figure)


def _cell(row: pd.Series, column: str, claims: pd.DataFrame) -> Cell:
    about = claims[(claims["row"] == row.row) & (claims["column"] == column)]
    side = {row.a: "a", row.b: "b"}.get(column)
    ours = _p(row.p) if side is None else _plus_minus(row, side)
    known = dict(zip(about["printed"], about["match"], strict=True))
    return Cell(ours, tuple((_shortened(text), bool(match)) for text, match in known.items()))


def _plus_minus(row: pd.Series, side: str) -> str:
    return f"{getattr(row, f'mean_{side}'):.3f} ± {getattr(row, f'ci_{side}'):.3f}"


def _apart(row: pd.Series) -> tuple[str, ...]:
    """Difference with its interval, and p corrected for the organs of the table."""
    corrected = "" if math.isnan(row.p_holm) else _p(row.p_holm)
    return (f"{signed(row.difference)} ({signed(row.low)} to {signed(row.high)})", corrected)


def _shortened(text: str) -> str:
    """A long number is cut to 4 digits; the comparison is with all of them."""
    return " ± ".join(f"{float(part):.4g}" if len(part) > 7 else part for part in text.split(" ± "))


def _p(value: float) -> str:
    return f"{value:.1e}" if value < 0.001 else f"{value:.3f}"


def _write(out: Path, sheets: list[Sheet], found: Found) -> list[Path]:
    judged, quality = found.judged, found.quality
    content = {
        "sheets": sheets,
        "checked": found.checked,
        "wrong": found.wrong,
        "quality": quality,
        "in_words": [] if quality is None else in_words(quality),
        "n": len(judged),
        "n_match": int(judged["match"].sum()),
        "unprinted": UNPRINTED,
        "sources": list(dict.fromkeys(judged["source"])),
    }
    texts = {f"paper.{kind}": _rendered(kind, content) for kind in ("md", "html")}
    texts |= {sheet.file: sheet.figure for sheet in sheets}
    for name, text in texts.items():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return [out / name for name in texts]


def _rendered(kind: str, content: dict[str, object]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=jinja2.select_autoescape(("html.jinja",)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"paper.{kind}.jinja").render(**content)
