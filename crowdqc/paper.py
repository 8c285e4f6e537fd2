"""Recompute what the crowd study published from the scores that it released."""

from __future__ import annotations

import html
import os
import re
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from crowdqc.compare.paired import Paired, compare_paired, half_width
from crowdqc.findings import InputError
from crowdqc.store import atomic


class Published(BaseModel):
    """One published value and where it was found."""

    model_config = ConfigDict(extra="forbid")
    quantity: str
    value: float
    source: str
    second_hand: bool = False
    """Whether the value was told by somebody else than the paper."""


class Claim(BaseModel):
    """A published bound on every quantity that matches a pattern."""

    model_config = ConfigDict(extra="forbid")
    text: str
    source: str
    pattern: str
    below: float


class PaperFile(BaseModel):
    """What ``crowdqc paper`` reads."""

    model_config = ConfigDict(extra="forbid")
    results: str
    out: str
    published: list[Published] = []
    claim: list[Claim] = []


def read_paper(path: Path) -> PaperFile:
    """Read the file of a reproduction.

    Raises
    ------
    InputError
        If it cannot be read or a key is unknown, missing or of the wrong type.
    """
    try:
        return PaperFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise InputError(f"{path.name} must be a readable paper file; {error}") from error


def folder(path: Path, text: str) -> Path:
    """The folder `text` beside `path`; ``${NAME:-default}`` is read from the environment."""
    said = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: os.environ.get(m[1], m[2]), text)
    return (path.parent / said).resolve()


def recompute(results: Path) -> pd.DataFrame:
    """Columns ``quantity, n, ours, ci``: every mean and p that the released scores give.

    Raises
    ------
    InputError
        If a file of the release is missing.
    """
    rows: list[dict[str, object]] = []
    try:
        for study in ("BTCV", "MSD_Spleen", "MSD_Liver"):
            for level in ("volume", "slice"):
                if (results / study / f"{level}_dice.csv").exists() or level == "volume":
                    rows += _means(pd.read_csv(results / study / f"{level}_dice.csv"), study, level)
        rows += _trained(results)
    except FileNotFoundError as error:
        raise InputError(f"'results' must hold the released scores; {error}") from error
    return pd.DataFrame(rows)


def judge(ours: pd.DataFrame, published: list[Published]) -> pd.DataFrame:
    """`ours` with ``published, verdict, source``; a match agrees in the digits that are printed."""
    known = {entry.quantity: entry for entry in published}
    lost = sorted(set(known) - set(ours["quantity"]))
    if lost:
        raise InputError(f"'quantity' must be one that is recomputed; got {lost[0]!r}.")
    table = ours.copy()
    found = [known.get(name) for name in table["quantity"]]
    table["published"] = [entry.value if entry else np.nan for entry in found]
    table["source"] = [entry.source if entry else "" for entry in found]
    table["verdict"] = [
        _verdict(value, entry) for value, entry in zip(table["ours"], found, strict=True)
    ]
    return table


def check_claim(ours: pd.DataFrame, claim: Claim) -> str:
    """A sentence: whether every quantity that the claim is about is below its bound."""
    about = ours[ours["quantity"].str.contains(claim.pattern)]
    above = about[~(about["ours"] < claim.below)]
    said = f"{claim.text} ({claim.source}): {len(about) - len(above)} of {len(about)} hold"
    broken = [f"{row.quantity} = {row.ours:.4g}" for row in above.itertuples()]
    return said + (f"; not: {'; '.join(broken)}." if broken else ".")


def write_paper(path: Path) -> list[Path]:
    """Write ``paper.md`` and ``paper.html`` for the file `path`."""
    paper = read_paper(path)
    table = judge(recompute(folder(path, paper.results)), paper.published)
    claims = [check_claim(table, claim) for claim in paper.claim]
    written = []
    for name, text in (
        ("paper.md", _markdown(table, claims)),
        ("paper.html", _html(table, claims)),
    ):
        target = folder(path, paper.out) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
        written.append(target)
    return written


def _means(scores: pd.DataFrame, study: str, level: str) -> list[dict[str, object]]:
    columns = [name for name in scores if str(name).endswith("dice")]
    rows = []
    for model, group in scores.groupby("model"):
        for column in columns:
            values = group[column].dropna().to_numpy(float)
            name = f"{study} annotations: {model}, {level}, {column}"
            rows.append(_row(name, values.mean(), half_width(values), len(values)))
    return rows


def _trained(results: Path) -> list[dict[str, object]]:
    def wide(study: str, name: str) -> pd.DataFrame:
        return pd.read_csv(results / study / f"{name}-pred.csv").set_index("path").sort_index()

    btcv = {
        f"{kind} {n}": wide("BTCV", f"{kind}-nnunet-{n}")
        for kind in ("SAM", "GT")
        for n in (11, 15)
    }
    rows = []
    for a, b in (("SAM 11", "SAM 15"), ("GT 11", "SAM 11"), ("GT 15", "SAM 15")):
        one, two = btcv[a], btcv[b].loc[btcv[a].index]
        pair = compare_paired(one.mean(axis=1), two.mean(axis=1), rng=np.random.default_rng(0))
        rows += _pair(pair, "BTCV", a, b)
        for organ in one:
            pair = compare_paired(one[organ], two[organ], rng=np.random.default_rng(0))
            rows.append(_row(f"BTCV nnU-Net: {a} - {b}, {organ}, p", pair.p, np.nan, pair.n))
    for study in ("MSD_Spleen", "MSD_Liver"):
        one, two = wide(study, "GT-nnunet"), wide(study, "SAM-nnunet")
        two = two.loc[one.index]
        pair = compare_paired(one["dice"], two["dice"], rng=np.random.default_rng(0))
        rows += _pair(pair, study, "GT", "SAM")
    unique = {row["quantity"]: row for row in rows}
    return list(unique.values())


def _pair(pair: Paired, study: str, a: str, b: str) -> list[dict[str, object]]:  # noqa: PLR0917
    def named(name: str) -> str:
        return f"{name} volumes" if study == "BTCV" else name

    return [
        _row(f"{study} nnU-Net: {named(a)}, mean Dice", pair.mean_a, pair.ci_a, pair.n),
        _row(f"{study} nnU-Net: {named(b)}, mean Dice", pair.mean_b, pair.ci_b, pair.n),
        _row(f"{study} nnU-Net: {a} - {b}, p", pair.p, np.nan, pair.n),
    ]


def _row(quantity: str, ours: float, ci: float, n: int) -> dict[str, object]:  # noqa: PLR0917
    return {"quantity": quantity, "n": n, "ours": float(ours), "ci": float(ci)}


def _verdict(ours: float, entry: Published | None) -> str:
    if entry is None:
        return "not found"
    digits = len(str(entry.value).partition(".")[2].ljust(2, "0"))
    verdict = "match" if round(ours, digits) == round(entry.value, digits) else "MISMATCH"
    return f"{verdict} (second-hand)" if entry.second_hand else verdict


def _cells(table: pd.DataFrame) -> list[list[str]]:
    def number(value: float) -> str:
        return "" if np.isnan(value) else f"{value:.4g}"

    return [
        [
            r.quantity,
            str(r.n),
            number(r.ours),
            number(r.ci),
            number(r.published),
            r.verdict,
            r.source,
        ]
        for r in table.itertuples()
    ]


HEAD = ["quantity", "n", "ours", "± 95 %", "published", "verdict", "source"]
TITLE = "The crowd study (arXiv:2403.15218), recomputed from its released scores"
NOTE = (
    "Made by `crowdqc paper configs/paper.toml`. Intervals: 1.96 population SD / sqrt(n). p: "
    "Wilcoxon signed-rank, two-sided, not corrected for the number of tests; over organs, each "
    "volume counts once by its mean. 'not found': no legible published value was available, so "
    "nothing was checked. Rows are not in the paper's table layout, because that was not legible."
)


def _markdown(table: pd.DataFrame, claims: list[str]) -> str:
    lines = [HEAD, ["---"] * len(HEAD), *_cells(table)]
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    said = [f"- {claim}" for claim in claims]
    return "\n".join(
        [f"# {TITLE}", "", NOTE, "", "## Claims", "", *said, "", "## Values", "", *rows, ""]
    )


def _html(table: pd.DataFrame, claims: list[str]) -> str:
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(x)}</td>" for x in row) + "</tr>\n"
        for row in _cells(table)
    )
    said = "".join(f"<li>{html.escape(claim)}</li>\n" for claim in claims)
    head = "".join(f'<th scope="col">{name}</th>' for name in HEAD)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{TITLE}</title>'
        f"<h1>{TITLE}</h1><p>{html.escape(NOTE)}</p><ul>{said}</ul><table><thead><tr>{head}</tr></thead>\n"
        f"<tbody>{body}</tbody></table></html>\n"
    )
