"""The masks in the folder of results, and the manifest that they follow."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from crowdqc.findings import InputError
from crowdqc.judge import USABLE, Manifest
from crowdqc.schema import ReadingState
from crowdqc.stages.base import Run
from crowdqc.stages.images import image_files

RISK = "risk.csv"
SETS = {"filtered": "masks", "unfiltered": "masks/unfiltered"}
"""Set of masks -> its folder."""


def read_manifest(run: Run) -> Manifest:
    """The manifest, if everything that it was made from is unchanged.

    The risk of masks may have changed: it comes after the boxes that they are drawn from, and where
    it does, the stage `gate again` is out of date.

    Raises
    ------
    InputError
        If it is not there, is damaged, or an input has changed since the gate decided.
    """
    path = run.store.path("manifest.json")
    if not path.is_file():
        raise InputError(f"{path}: is not there; run crowdqc gate.")
    manifest = Manifest.read(path)
    manifest.check(run.store.folder, but=(RISK,))
    return manifest


def mask_files(run: Run, name: str) -> dict[str, Path]:
    """Case -> mask volume of one set.

    Parameters
    ----------
    run : Run
        An opened study.
    name : str
        One of `SETS`.

    Returns
    -------
    dict
        Without the cases that have no mask.
    """
    folder = run.store.path(SETS[name])
    return {
        case: path
        for case in image_files(run.config)
        if (path := folder / f"{case}.nii.gz").is_file()
    }


def known_empty(
    readings: pd.DataFrame, consensus: pd.DataFrame
) -> dict[str, dict[str, frozenset[int]]]:
    """Slices within the runs of labels that were read, and on which nobody drew the label.

    Parameters
    ----------
    readings, consensus : DataFrame
        Tables of these names.

    Returns
    -------
    dict
        Case -> label -> slices.
    """
    key = ["case", "label"]
    drawn = consensus[consensus["state"].isin(USABLE)]
    runs = drawn.groupby(key)["slice"].agg(["min", "max", "nunique"]).reset_index()
    runs = runs[runs["nunique"] <= runs["max"] - runs["min"]]
    read = readings.loc[readings["state"] != ReadingState.OPENED, ["case", "slice", "labels"]]
    found = read.drop_duplicates().merge(runs, on="case")
    found = found[found["slice"].between(found["min"], found["max"])]
    asked = [
        not labels or label in labels.split(" ")
        for label, labels in found[["label", "labels"]].itertuples(index=False)
    ]
    found = found.loc[asked, [*key, "slice"]].merge(
        consensus[[*key, "slice"]].drop_duplicates(), how="left", indicator=True
    )
    empty: dict[str, dict[str, frozenset[int]]] = {}
    for (case, label), rows in found[found["_merge"] == "left_only"].groupby(key):
        empty.setdefault(case, {})[label] = frozenset(rows["slice"].tolist())
    return empty
