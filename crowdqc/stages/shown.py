"""The table ``[fuse] shown``: boxes that raters of later batches were shown as done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from crowdqc.config import Config
from crowdqc.csv_files import read_csv
from crowdqc.findings import InputError
from crowdqc.formats.files import inside
from crowdqc.schema import BOX

_TEXT = ("case", "label", "rater")
COLUMNS = ["case", "slice", "label", "rater", *BOX]


def shown_files(config: Config) -> list[Path]:
    """The file of the table, as an input of stages; none where the study names none."""
    return [] if config.fuse.shown is None else [config.resolve(config.fuse.shown)]


def load_shown(config: Config) -> pd.DataFrame:
    """The table, ``case, slice, label, rater, x0, y0, x1, y1`` in px; empty where there is none.

    Raises
    ------
    InputError
        If it cannot be read, lacks a column, or a row has no box.
    """
    files = shown_files(config)
    if not files:
        return pd.DataFrame(columns=COLUMNS)
    table = read_csv(files[0], text=_TEXT)
    if missing := [name for name in COLUMNS if name not in table]:
        raise InputError(
            f"{files[0]}: has no column {', '.join(missing)}; it must have {', '.join(COLUMNS)}: "
            "the rows of done.csv, and to whom each was shown."
        )
    numbers = table[["slice", *BOX]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    whole = (numbers[:, 0] >= 0) & (numbers[:, 0] % 1 == 0)
    box = np.isfinite(numbers).all(axis=1) & (numbers[:, 1:3] < numbers[:, 3:]).all(axis=1)
    wrong = np.flatnonzero(~(box & whole))
    if len(wrong):
        row = ", ".join(map(str, table[COLUMNS].iloc[wrong[0]]))[:80]
        got = f"'{row}'" if inside(files[0], config) else "(not quoted: outside the study's folder)"
        raise InputError(
            f"{files[0]}:{wrong[0] + 2}: must have a slice counted from 0, x0 < x1 and y0 < y1 in "
            f"px; got {got}. Mend the row, or take it out."
        )
    edges = dict(zip(BOX, numbers[:, 1:].T, strict=True))
    return table[COLUMNS].assign(slice=numbers[:, 0].astype(np.int64), **edges)
