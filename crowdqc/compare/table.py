"""Two tables of scores, paired row by row and compared label by label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.compare.paired import Values, compare_paired, holm
from crowdqc.findings import Finding, InputError
from crowdqc.schema import conform, empty
from crowdqc.text import count

OVERALL = "overall"
"""Label of the row that compares the means over labels."""
SLICE = "slice"
"""Column that is empty in rows of whole volumes."""
MEASURE_WORDS = frozenset(
    (
        *("surface", "dice", "dsc", "nsd", "iou", "jaccard", "f1", "precision", "recall", "auc"),
        *("sensitivity", "specificity", "kappa", "hd", "hd95", "hausdorff", "assd", "asd", "msd"),
        *("rvd", "volume", "mm", "mm2", "mm3", "ml", "px", "s", "seconds", "min", "percent"),
    )
)
"""Words of a column's name that say what it measures, and in which unit."""


def compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    *,
    on: Sequence[str],
    names: tuple[str, str] = ("a", "b"),
    label: str | None = None,
    seed: int = 0,
) -> tuple[pd.DataFrame, list[Finding]]:
    """Compare two tables of scores, pairing rows by key columns.

    Every numeric column that both tables have, but for `on` and `label`, is compared. The
    tests take pairs as independent: slices of one volume are not, and a test over slices
    counts each volume many times.

    Parameters
    ----------
    a, b : DataFrame
        A row of each is one scored thing; the columns `on` (and `label`) say which.
    on : sequence of str
        Columns that pair a row of `a` with one of `b`: the case, not the label.
    names : (str, str)
        What to call the two sets.
    label : str, optional
        A column whose values are compared one by one, as `label` in the table `scores`.
    seed : int
        For the bootstrap.

    Returns
    -------
    table : DataFrame
        `comparison`: a row for each label and one for ``overall``, the mean over labels of
        each pair (over those that both sides have). A label is a value of the column `label`,
        the name of the numeric column where there is no `label`, or ``value|column`` where
        there are both and several columns; then each column has its own ``overall|column``.
        Columns of different measures are never averaged (`_measure`). ``p_holm`` corrects over
        the labels [1]_; ``overall`` is no part of that family and has none. Other columns: see
        `compare_paired`.
    findings : list of Finding
        Rows of single slices that were left out, pairs that are not independent, rows without a
        partner, and values that only one side has.

    Raises
    ------
    InputError
        If a column of `on` is not there, a key is there twice, or nothing can be compared.

    References
    ----------
    .. [1] S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian
       Journal of Statistics 6(2), 1979.
    """
    left_out: list[Finding] = []
    a, b = (_of_one_kind(frame, on, left_out) for frame in (a, b))
    columns = _shared_numbers(a, b, names=names, keys=[*on, *([label] if label else [])])
    wide = [
        _wide(frame, on=on, label=label, columns=columns, name=name)
        for frame, name in ((a, names[0]), (b, names[1]))
    ]
    findings = [*left_out[:1], *_without_partner(wide[0], wide[1], names=names)]
    keys = wide[0].index[wide[0].index.isin(wide[1].index)]
    labels = list(dict.fromkeys([*wide[0].columns, *wide[1].columns]))
    if not len(keys) or not labels:
        first = " and ".join(str(frame.index[0]) if len(frame) else "none" for frame in wide)
        raise InputError(
            f"'{names[0]}' and '{names[1]}' have no row in common by {list(on)}; the first are "
            f"{first}. Rows are paired where these columns hold the same text: name others by "
            "--on, or write them alike in both."
        )
    left, right = (frame.reindex(index=keys, columns=labels).to_numpy() for frame in wide)
    findings += _dependent(keys, on)
    findings += _one_sided(left, right, labels=labels, names=names)
    measures = _measures(labels, columns, np.vstack([left, right]), by_label=label is not None)
    return _table(left, right, labels=labels, measures=measures, names=names, seed=seed), findings


def compare_scores(
    scores: pd.DataFrame, *, names: tuple[str, str], seed: int = 0
) -> tuple[pd.DataFrame, list[Finding]]:
    """Compare two sets of the table `scores` by the Dice of whole volumes, paired by case.

    Parameters
    ----------
    scores : DataFrame
        Table `scores`; rows of single slices are left out: the slices of a volume are not
        independent, and a test over them would count each volume many times.
    names : (str, str)
        The two sets to compare.
    seed : int
        For the bootstrap.

    Returns
    -------
    table, findings
        As `compare`; an empty table with a finding where one of the sets has no row.

    Examples
    --------
    >>> rows = [("a", "1", .9), ("b", "1", .8), ("a", "2", .7), ("b", "2", .7)]
    >>> scores = pd.DataFrame(rows, columns=["set", "case", "dice"])
    >>> scores = scores.assign(label="liver", slice=float("nan"))
    >>> table, _ = compare_scores(scores, names=("a", "b"))
    >>> int(table.loc[0, "n"]), round(float(table.loc[0, "difference"]), 3)
    (2, 0.05)
    """
    volumes = scores.loc[scores["slice"].isna(), ["set", "case", "label", "dice"]]
    sets = [volumes[volumes["set"] == name] for name in names]
    absent = [name for name, rows in zip(names, sets, strict=True) if rows.empty]
    if absent:
        message = f"No scores of {' and '.join(absent)}: {names[0]} and {names[1]} not compared."
        finding = Finding(check="comparison-empty", message=message)
        return empty("comparison"), [finding]
    return compare(sets[0], sets[1], on=["case"], names=names, label="label", seed=seed)


def _of_one_kind(frame: pd.DataFrame, on: Sequence[str], found: list[Finding]) -> pd.DataFrame:
    """Whole volumes only, or slices only where `on` asks for them, of a table that has both."""
    if SLICE not in frame:
        return frame
    whole = frame[SLICE].isna() | (frame[SLICE].astype(str) == "")
    if whole.all() or not whole.any():
        return frame
    kept, lost, other = "whole volumes", "single slices", f"With --on {SLICE}, slices"
    if SLICE in on:
        kept, lost, other = "slices", "whole volumes", f"Without --on {SLICE}, volumes"
    rows = ~whole if SLICE in on else whole
    message = (
        f"Left out: {count(int((~rows).sum()), 'row')} of {lost}. A slice and a volume are not "
        f"alike, so {kept} are compared. {other} are."
    )
    found.append(_finding("comparison-slices", message, value=int((~rows).sum())))
    return frame[rows]


def _dependent(keys: pd.MultiIndex, on: Sequence[str]) -> list[Finding]:
    """That several pairs are of one case."""
    unit = "case" if "case" in on else on[0]
    n = keys.get_level_values(unit).nunique()
    if n == len(keys):
        return []
    message = (
        f"{len(keys)} pairs come from {n} values of '{unit}': pairs of one {unit} are not "
        f"independent, so that intervals are too narrow and p too small. Compare one number for "
        f"each {unit}."
    )
    return [_finding("comparison-dependent", message, value=n)]


def _measures(
    labels: Sequence[str], columns: Sequence[str], values: Values, *, by_label: bool
) -> dict[str, list[int]]:
    """Names of the rows ``overall`` -> positions of the labels that are averaged in each."""
    found: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        name = _measure(label, values[:, place])
        if by_label:
            name = label.rpartition("|")[2] if len(columns) > 1 else columns[0]
        found.setdefault(name, []).append(place)
    if len(found) == 1:
        return {OVERALL: next(iter(found.values()))}
    return {
        f"{OVERALL}|{name}": places for name, places in found.items() if by_label or len(places) > 1
    }


def _measure(column: str, values: Values) -> str:
    """What a column measures, by the words of its name; else by whether it is a share.

    Examples
    --------
    >>> _measure("liver_hd95_mm", np.array([3.0])), _measure("liver", np.array([0.9, np.nan]))
    ('hd95 mm', 'share')
    """
    words = re.split(r"[^a-z0-9]+", column.lower())
    known = " ".join(word for word in words if word in MEASURE_WORDS)
    share = np.nanmin(values, initial=0) >= 0 and np.nanmax(values, initial=0) <= 1
    return known or ("share" if share else "number")


def need_columns(frame: pd.DataFrame, keys: Sequence[str], name: str) -> None:
    """Refuse a table that lacks a column, naming those that it has.

    Parameters
    ----------
    frame : DataFrame
        As it was read.
    keys : sequence of str
        Columns that it must have.
    name : str
        How messages call it.
    """
    absent = [key for key in keys if key not in frame.columns]
    if absent:
        raise InputError(f"{name}: has no column {absent}; it has {list(frame.columns)}.")


def _shared_numbers(
    a: pd.DataFrame, b: pd.DataFrame, *, names: tuple[str, str], keys: Sequence[str]
) -> list[str]:
    for frame, name in ((a, names[0]), (b, names[1])):
        need_columns(frame, keys, name)
    numbers = [
        [c for c in frame.select_dtypes("number").columns if c not in {*keys, SLICE}]
        for frame in (a, b)
    ]
    shared = [column for column in numbers[0] if column in numbers[1]]
    if not shared:
        raise InputError(
            f"'{names[0]}' and '{names[1]}' share no numeric column to compare; they have "
            f"{numbers[0]} and {numbers[1]}."
        )
    return shared


def _wide(
    frame: pd.DataFrame, *, on: Sequence[str], label: str | None, columns: list[str], name: str
) -> pd.DataFrame:
    """Keys as index, a column for each label."""
    keys = [*on, *([label] if label else [])]
    text = frame[keys].astype(object).where(frame[keys].notna(), "").astype(str)
    twice = text.duplicated()
    if twice.any():
        row = text[twice.to_numpy()].iloc[0].to_dict()
        raise InputError(
            f"{name}: has {row} more than once ({twice.sum()} rows too many). Add the columns "
            "that tell these rows apart to --on."
        )
    indexed = frame[columns].set_index(pd.MultiIndex.from_frame(text))
    if label is None:
        return indexed
    order = list(text[label].unique())
    table = indexed.unstack(label)  # noqa: PD010 - pivot_table would average
    table = table[[(column, value) for column in columns for value in order]]
    single = len(columns) == 1
    table.columns = [value if single else f"{value}|{column}" for column, value in table.columns]
    return table


def _without_partner(a: pd.DataFrame, b: pd.DataFrame, *, names: tuple[str, str]) -> list[Finding]:
    findings = []
    for mine, other, name, partner in ((a, b, *names), (b, a, *names[::-1])):
        alone = mine.index[~mine.index.isin(other.index)]
        if len(alone):
            some = ", ".join("/".join(map(str, np.atleast_1d(key))) for key in alone[:5])
            message = (
                f"{len(alone)} of {len(mine)} rows of {name} have no partner in {partner} and are "
                f"not compared: {some}{', ...' if len(alone) > 5 else ''}."
            )
            findings.append(_finding("comparison-unpaired", message, value=len(alone)))
    return findings


def _one_sided(
    left: Values, right: Values, *, labels: list[str], names: tuple[str, str]
) -> list[Finding]:
    findings = []
    there_left, there_right = np.isfinite(left), np.isfinite(right)
    for column, label in enumerate(labels):
        for mine, other, name in (
            (there_left, there_right, names[1]),
            (there_right, there_left, names[0]),
        ):
            lost = int((mine & ~other)[:, column].sum())
            if lost:
                message = (
                    f"{label}: {name} has no finite value for {lost} of {len(left)} pairs, which "
                    "are not compared. A missed object has a Dice of 0 and a distance of inf; nan "
                    "is for one that is in neither."
                )
                findings.append(_finding("comparison-one-sided", message, value=lost, label=label))
    return findings


def _finding(check: str, message: str, *, value: int, label: str | None = None) -> Finding:
    return Finding(
        check=check,
        message=message,
        label=label,
        value=float(value),
        unit="pairs",
    )


def _table(
    left: Values,
    right: Values,
    *,
    labels: list[str],
    measures: dict[str, list[int]],
    names: tuple[str, str],
    seed: int,
) -> pd.DataFrame:
    both = np.isfinite(left) & np.isfinite(right)
    pairs = [
        (label, left[both[:, column], column], right[both[:, column], column])
        for column, label in enumerate(labels)
    ]
    pairs += [
        (name, *_means(left[:, at], right[:, at], both[:, at])) for name, at in measures.items()
    ]
    rows = [
        {"label": label, **asdict(compare_paired(a, b, rng=np.random.default_rng(seed)))}
        for label, a, b in pairs
    ]
    table = pd.DataFrame(rows).assign(a=names[0], b=names[1])
    corrected = np.full(len(table), np.nan)
    corrected[: len(labels)] = holm(table["p"].to_numpy()[: len(labels)])
    return conform("comparison", table.assign(p_holm=corrected))


def _means(left: Values, right: Values, both: NDArray[np.bool_]) -> tuple[Values, Values]:
    """Means over labels of each pair, where both sides have one of them."""
    count = both.sum(axis=1)
    some = count > 0
    one, other = (
        np.where(both, side, 0.0).sum(axis=1)[some] / count[some] for side in (left, right)
    )
    return one, other
