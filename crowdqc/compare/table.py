"""Two tables of scores, paired row by row and compared label by label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from crowdqc.compare.paired import Values, compare_paired, holm
from crowdqc.findings import Finding, InputError, Severity
from crowdqc.schema import conform, empty

OVERALL = "overall"
"""Label of the row that compares the means over labels."""


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
        there are both and several columns. ``p_holm`` corrects over the labels [1]_;
        ``overall`` is no part of that family and has none. Other columns: see `compare_paired`.
    findings : list of Finding
        Rows without a partner, and values that only one side has.

    Raises
    ------
    InputError
        If a column of `on` is not there, a key is there twice, or nothing can be compared.

    References
    ----------
    .. [1] S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian
       Journal of Statistics 6(2), 1979.
    """
    columns = _shared_numbers(a, b, names=names, keys=[*on, *([label] if label else [])])
    wide = [
        _wide(frame, on=on, label=label, columns=columns, name=name)
        for frame, name in ((a, names[0]), (b, names[1]))
    ]
    findings = _without_partner(wide[0], wide[1], names=names)
    keys = wide[0].index[wide[0].index.isin(wide[1].index)]
    labels = list(dict.fromkeys([*wide[0].columns, *wide[1].columns]))
    if not len(keys) or not labels:
        raise InputError(f"'{names[0]}' and '{names[1]}' have no row in common by {list(on)}.")
    left, right = (frame.reindex(index=keys, columns=labels).to_numpy() for frame in wide)
    findings += _one_sided(left, right, labels=labels, names=names)
    return _table(left, right, labels=labels, names=names, seed=seed), findings


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
    """
    volumes = scores.loc[scores["slice"].isna(), ["set", "case", "label", "dice"]]
    sets = [volumes[volumes["set"] == name] for name in names]
    absent = [name for name, rows in zip(names, sets, strict=True) if rows.empty]
    if absent:
        message = f"No scores of {' and '.join(absent)}: {names[0]} and {names[1]} not compared."
        finding = Finding(check="comparison-empty", severity=Severity.REVIEW, message=message)
        return empty("comparison"), [finding]
    return compare(sets[0], sets[1], on=["case"], names=names, label="label", seed=seed)


def need_columns(frame: pd.DataFrame, keys: Sequence[str], name: str) -> None:
    """Refuse a table that lacks a column, naming those that it has."""
    absent = [key for key in keys if key not in frame.columns]
    if absent:
        raise InputError(f"{name}: has no column {absent}; it has {list(frame.columns)}.")


def _shared_numbers(
    a: pd.DataFrame, b: pd.DataFrame, *, names: tuple[str, str], keys: Sequence[str]
) -> list[str]:
    for frame, name in ((a, names[0]), (b, names[1])):
        need_columns(frame, keys, name)
    numbers = [
        [c for c in frame.select_dtypes("number").columns if c not in keys] for frame in (a, b)
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
        severity=Severity.REVIEW,
        message=message,
        label=label,
        value=float(value),
        unit="pairs",
    )


def _table(
    left: Values, right: Values, *, labels: list[str], names: tuple[str, str], seed: int
) -> pd.DataFrame:
    both = np.isfinite(left) & np.isfinite(right)
    count = both.sum(axis=1)
    some = count > 0
    means = [np.where(both, side, 0.0).sum(axis=1)[some] / count[some] for side in (left, right)]
    pairs = [
        (label, left[both[:, column], column], right[both[:, column], column])
        for column, label in enumerate(labels)
    ]
    pairs.append((OVERALL, means[0], means[1]))
    rows = [
        {"label": label, **asdict(compare_paired(a, b, rng=np.random.default_rng(seed)))}
        for label, a, b in pairs
    ]
    table = pd.DataFrame(rows).assign(a=names[0], b=names[1])
    corrected = np.append(holm(table["p"].to_numpy()[:-1]), np.nan)
    return conform("comparison", table.assign(p_holm=corrected))
