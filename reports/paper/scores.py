"""The released scores of the crowd study, arranged into the paired samples of its tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.findings import InputError

MEAN = "mean"
"""Row of the mean over organs, one value a volume or slice."""
ORGANS = {
    "spleen_dice": "spleen",
    "rkidney_dice": "right kidney",
    "lkidney_dice": "left kidney",
    "liver_dice": "liver",
    "aorta_dice": "aorta",
}
_MODELS = {"SAM-vit_h": "SAM", "MedSAM-vit_b": "MedSAM"}
_SLICE = ["path", "slice_idx"]


@dataclass(frozen=True)
class Pairing:
    """Dice of the same things from two sides: one row of a table."""

    table: str
    row: str
    names: tuple[str, str]
    a: NDArray[np.float64]
    """shape (N,)"""
    b: NDArray[np.float64]
    """shape (N,)"""
    volumes: NDArray[np.object_]
    """Volume that each of the N values belongs to, shape (N,)."""


def read_pairings(results: Path) -> list[Pairing]:
    """Every row of every table, in the order of the tables.

    Parameters
    ----------
    results : Path
        The folder ``results`` that the authors of the study released.

    Raises
    ------
    InputError
        If a file of the release is missing, or two files do not score the same volumes.
    """
    try:
        return [*_masks(results), *_trained(results), *_decathlon(results)]
    except (FileNotFoundError, KeyError) as error:
        raise InputError(f"'results' must hold the released scores; {error}") from error


def _masks(results: Path) -> list[Pairing]:
    """SAM against MedSAM on BTCV."""
    names = ("SAM", "MedSAM")
    volumes = _by_model(results / "BTCV" / "volume_dice.csv", ["path"])
    slices = _by_model(results / "BTCV" / "slice_dice.csv", _SLICE)
    return [
        *_rows("volumes", volumes, names),
        *_rows("slices", _whole(slices), names),
        *_each("slices_all", slices, names),
    ]


def _trained(results: Path) -> list[Pairing]:
    """nnU-Nets on BTCV."""
    read = {
        (kind, n): _wide(results / "BTCV" / f"{kind}-nnunet-{n}-pred.csv")
        for kind in ("GT", "SAM")
        for n in (11, 15)
    }
    tables = {
        "nnunet_11": (("GT", 11), ("SAM", 11)),
        "nnunet_15": (("GT", 15), ("SAM", 15)),
        "filtering": (("SAM", 11), ("SAM", 15)),
        "control": (("GT", 11), ("GT", 15)),
    }
    return [
        row
        for table, (a, b) in tables.items()
        for row in _rows(table, (read[a], read[b]), (f"{a[0]} {a[1]}", f"{b[0]} {b[1]}"))
    ]


def _decathlon(results: Path) -> list[Pairing]:
    """SAM against MedSAM, and nnU-Nets, on one organ of the Medical Segmentation Decathlon."""
    rows = []
    for organ in ("Spleen", "Liver"):
        place, name = results / f"MSD_{organ}", organ.lower()
        levels = {"volumes": ["path"], "slices": _SLICE}
        for level, keys in levels.items():
            file = place / f"{level.removesuffix('s')}_dice.csv"
            if file.exists():  # the slices of the liver were not released
                pair = _whole(_by_model(file, keys))
                rows += _named("msd", f"{name}, {level}", pair=pair, names=("SAM", "MedSAM"))
        pair = tuple(_wide(place / f"{kind}-nnunet-pred.csv") for kind in ("GT", "SAM"))
        rows += _named("msd_nnunet", f"MSD {name}", pair=pair, names=("GT", "SAM"))
    return sorted(rows, key=lambda row: row.table)


Frames = tuple[pd.DataFrame, pd.DataFrame]


def _by_model(path: Path, keys: list[str]) -> Frames:
    table = pd.read_csv(path)
    one, two = (
        table[table["model"] == model].drop(columns="model").set_index(keys).sort_index()
        for model in _MODELS
    )
    return _aligned(one, two, path.name)


def _wide(path: Path) -> pd.DataFrame:
    return pd.read_csv(path).set_index("path").sort_index()


def _aligned(one: pd.DataFrame, two: pd.DataFrame, name: str) -> Frames:
    if not one.index.equals(two.index):
        raise InputError(f"{name}: both sides must score the same volumes and slices.")
    return one.rename(columns=ORGANS), two.rename(columns=ORGANS)


def _whole(pair: Frames) -> Frames:
    """Only where both sides have a score of every column, as the authors' notebook does it."""
    there = pair[0].notna().all(axis=1) & pair[1].notna().all(axis=1)
    return pair[0][there], pair[1][there]


def _rows(table: str, pair: Frames, names: tuple[str, str]) -> list[Pairing]:
    """A row for each organ, and one for the mean over organs."""
    one, two = _aligned(*pair, table)
    means = _pairing(table, MEAN, pair=(one.mean(axis=1), two.mean(axis=1)), names=names)
    return [*_each(table, pair, names), means]


def _each(table: str, pair: Frames, names: tuple[str, str]) -> list[Pairing]:
    """A row for each organ, over what both sides scored of it."""
    one, two = _aligned(*pair, table)
    rows = []
    for organ in ORGANS.values():
        there = one[organ].notna() & two[organ].notna()
        rows.append(
            _pairing(table, organ, pair=(one[organ][there], two[organ][there]), names=names)
        )
    return rows


def _named(table: str, row: str, *, pair: Frames, names: tuple[str, str]) -> list[Pairing]:
    one, two = _aligned(*pair, row)
    return [_pairing(table, row, pair=(one["dice"], two["dice"]), names=names)]


def _pairing(
    table: str, row: str, *, pair: tuple[pd.Series, pd.Series], names: tuple[str, str]
) -> Pairing:
    a, b = (series.to_numpy(np.float64) for series in pair)
    volumes = pair[0].index.get_level_values("path").to_numpy(dtype=object)
    return Pairing(table, row, names, a=a, b=b, volumes=volumes)
