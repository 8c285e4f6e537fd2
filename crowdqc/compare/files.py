"""Comparison of CSV files, of this project or of others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from crowdqc.compare.table import compare, need_columns
from crowdqc.csv_files import read_csv
from crowdqc.findings import Finding, InputError


def compare_files(
    paths: Sequence[Path],
    *,
    on: Sequence[str],
    by: str | None = None,
    label: str | None = None,
    seed: int = 0,
) -> tuple[pd.DataFrame, list[Finding]]:
    """Compare two CSV files, or the two groups of one file.

    Parameters
    ----------
    paths : sequence of Path
        Two files, or one where `by` is given.
    on : sequence of str
        Columns that pair rows, as for `compare`.
    by : str, optional
        Column of the one file whose two values are the two sets, in order of appearance.
    label : str, optional
        Column whose values are compared one by one, as for `compare`.
    seed : int
        For the bootstrap.

    Returns
    -------
    table, findings
        As `compare`; sets are named after the files (with the folder where names are the
        same), or after the values of `by`.

    Raises
    ------
    InputError
        If a file cannot be read, or there are not exactly two sets.
    """
    wanted = 1 if by else 2
    if len(paths) != wanted:
        raise InputError(
            f"compare needs two files, or one file and --by COLUMN; got {len(paths)} "
            f"file(s){' and --by ' + by if by else ''}."
        )
    keys = [*on, *([label] if label else []), *([by] if by else [])]
    if len(set(keys)) < len(keys):
        raise InputError(
            f"The columns that pair rows, 'by' and 'label' must differ; got {', '.join(keys)}. "
            "Rows of one label are paired with each other: --on need not name that column."
        )
    frames = [_read_scores(path, keys=keys) for path in paths]
    if by:
        names, frames = _groups(frames[0], by)
    else:
        same = paths[0].name == paths[1].name
        names = [str(path) if same else path.stem for path in paths]
    return compare(frames[0], frames[1], on=on, names=(names[0], names[1]), label=label, seed=seed)


def _read_scores(path: Path, *, keys: Sequence[str]) -> pd.DataFrame:
    """Read a CSV file of scores; the columns `keys` as text, so that ``0001`` is not ``1``.

    Raises
    ------
    InputError
        If it cannot be read or lacks a column of `keys`.
    """
    frame = read_csv(path, text=keys)
    need_columns(frame, keys, str(path))
    return frame


def _groups(frame: pd.DataFrame, by: str) -> tuple[list[str], list[pd.DataFrame]]:
    names = list(frame.loc[frame[by] != "", by].unique())
    if len(names) != 2:
        raise InputError(
            f"'{by}' must have two values to compare; got {len(names)}: {names[:10]}. Keep the "
            "rows of two of them, or name another column by --by."
        )
    return names, [frame[frame[by] == name] for name in names]
