"""The numbers of the tables, and each published one beside ours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.compare.paired import compare_paired, holm
from crowdqc.findings import InputError
from reports.paper.file import Published, read_printed
from reports.paper.scores import MEAN, Pairing


def measure(pairings: Sequence[Pairing]) -> pd.DataFrame:
    """Every number of the tables.

    Parameters
    ----------
    pairings : sequence of Pairing
        From `read_pairings`.

    Returns
    -------
    DataFrame
        One row for each row of a table: ``table, row, a, b, n, n_volumes, mean_a, ci_a, mean_b,
        ci_b, clustered_a, clustered_b, difference, low, high, p, p_holm, detectable``. ``ci`` is
        the paper's half width, 1.96 population SD / sqrt(n); ``clustered`` the same where values
        of one volume are taken as dependent; ``low, high`` a bootstrap interval of the mean of
        a - b; ``p`` of the two-sided signed-rank test; ``p_holm`` corrected for the organs of the
        table.
    """
    table = pd.DataFrame([_row(pairing) for pairing in pairings])
    organs = table["row"] != MEAN
    for _, group in table[organs].groupby("table", sort=False):
        table.loc[group.index, "p_holm"] = holm(group["p"].to_numpy(np.float64))
    return table


def judge(ours: pd.DataFrame, published: Sequence[Published]) -> pd.DataFrame:
    """Columns ``table, row, column, printed, ours, ci, match, source``: one row a published value.

    A value matches where ours rounds to every digit that was printed.

    Raises
    ------
    InputError
        If a published value has no counterpart in `ours`.
    """
    found = [_beside(ours, entry, row) for entry in published for row in entry.printed]
    columns = ["table", "row", "column", "printed", "ours", "ci", "match", "source"]
    return pd.DataFrame(found, columns=columns)


def clustered_half_width(values: NDArray[np.float64], volumes: NDArray[np.object_]) -> float:
    """Half width of the 95 % interval of a mean whose values come in clusters.

    From the variance of the sums of deviations within clusters, the cluster-robust estimate
    without correction for their number; with one value a cluster it is the paper's half width.
    nan for no value.

    Examples
    --------
    >>> values = np.array([0.8, 0.8, 0.9, 0.9])
    >>> float(round(clustered_half_width(values, np.array(["a", "a", "b", "b"])), 4))
    0.0693
    """
    if not len(values):
        return np.nan
    _, codes = np.unique(volumes.astype(str), return_inverse=True)
    sums = np.bincount(codes, weights=values - values.mean())
    return float(1.96 * np.sqrt((sums**2).sum()) / len(values))


def signed(value: float) -> str:
    """A difference of Dice, as people write it.

    Examples
    --------
    >>> signed(0.0321), signed(-0.011)
    ('+0.032', '−0.011')
    """
    return f"{value:+.3f}".replace("-", "−")


def _row(pairing: Pairing) -> dict[str, object]:
    pair = compare_paired(pairing.a, pairing.b, rng=np.random.default_rng(0))
    return {
        "table": pairing.table,
        "row": pairing.row,
        "a": pairing.names[0],
        "b": pairing.names[1],
        "n": pair.n,
        "n_volumes": len(set(pairing.volumes)),
        "mean_a": pair.mean_a,
        "ci_a": pair.ci_a,
        "mean_b": pair.mean_b,
        "ci_b": pair.ci_b,
        "clustered_a": clustered_half_width(pairing.a, pairing.volumes),
        "clustered_b": clustered_half_width(pairing.b, pairing.volumes),
        "difference": pair.difference,
        "low": pair.low,
        "high": pair.high,
        "p": pair.p,
        "p_holm": np.nan,
        "detectable": pair.detectable,
    }


def _beside(ours: pd.DataFrame, entry: Published, row: str) -> dict[str, object]:
    mine = ours[(ours["table"] == entry.table) & (ours["row"] == row)]
    known = {"p": ("p", ""), **_sides(mine)}
    if entry.column not in known or not len(mine):
        raise InputError(
            f"'published' must name a number that is recomputed; got table {entry.table!r}, "
            f"column {entry.column!r}, row {row!r}."
        )
    value, ci = known[entry.column]
    number = float(mine[value].iloc[0])
    half = float(mine[ci].iloc[0]) if ci else np.nan
    printed = entry.printed[row]
    return {
        "table": entry.table,
        "row": row,
        "column": entry.column,
        "printed": printed,
        "ours": number,
        "ci": half,
        "match": read_printed(printed).agrees(number, half),
        "source": entry.source,
    }


def _sides(mine: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Name of a column as printed -> our columns of its mean and half width."""
    return {name: (f"mean_{side}", f"ci_{side}") for side in ("a", "b") for name in set(mine[side])}
