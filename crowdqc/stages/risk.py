"""How likely each mask is wrong.

The study's own masks are judged when they are drawn; on request masks made elsewhere, too, of
of which several sets show where models disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.arrays import Floats
from crowdqc.config import Config
from crowdqc.csv_files import read_csv
from crowdqc.decisions import decisions_file
from crowdqc.findings import InputError
from crowdqc.judge import USABLE
from crowdqc.risk import (
    STATED,
    assess_risk,
    calibrate,
    cross_validate,
    dice_interval,
    fit_scale,
)
from crowdqc.risk.calibration import BAD_DICE
from crowdqc.schema import PLACE
from crowdqc.stages.audit_units import mask_grades
from crowdqc.stages.base import Result, Run
from crowdqc.stages.images import case_files, has_volumes, image_files
from crowdqc.stages.mask_sets import RISK, mask_files, read_manifest
from crowdqc.stages.shards import RiskParts, shard_cases
from crowdqc.text import count
from crowdqc.volumes import read_geometry, read_labels, read_volume, to_grey, to_pictures

WORST = 15
"""Masks that are shown."""


def assess(
    run: Run,
    patterns: Sequence[str],
    scores: Path | None = None,
    *,
    graded: bool = False,
    merge: bool = False,
) -> Result:
    """Judge the masks of the first of `patterns`, or the study's own where there is none.

    Parameters
    ----------
    run : Run
    patterns : sequence of str
        Masks with ``{case}``, relative to the study file.
    scores : Path, optional
        Dice of some of the masks (``case, slice, label, dice``): the risk is calibrated on
        them, and what it was before is kept as ``risk_free``. A case with scores is judged by
        the scores of the others.
    graded : bool
        Calibrate on the grades in decisions.csv.
    merge : bool
        Measure nothing: take what the shards have measured.

    Raises
    ------
    InputError
        If no file fits a pattern, or a mask or the scores cannot be read or used; with `merge`, if
        a shard is missing.
    """
    prompts, files, drawn = _judged(run, patterns)
    table = judge_masks(run, prompts, files, drawn=drawn, merge=merge)
    if scores is not None:
        table = _calibrated(table, scores)
    elif graded:
        table = _graded(run, table)
    write_risk(run, table)
    likely = int((table["risk"] >= 0.5).sum())
    worst = table.sort_values("risk", ascending=False, kind="stable").head(WORST)
    return Result(
        table=table,
        shown=worst[["case", "slice", "label", "risk", "agreement", "z_dice", "box_iou"]],
        summary=f"{count(len(table), 'mask')}; {likely:,} more likely wrong than not.",
        files=[RISK],
    )


def assess_shard(run: Run, patterns: Sequence[str], shard: tuple[int, int]) -> Result:
    """Measure the masks of a part of the cases, beside processes that measure the others.

    No table is written: `assess` makes it once all are measured.

    Parameters
    ----------
    run, patterns
        As for `assess`.
    shard : tuple of int
        Number of the part, from 1, and how many parts there are.
    """
    run.store.claim_part("risk-{}of{}".format(*shard))
    prompts, files, _ = _judged(run, patterns)
    own = shard_cases(prompts, shard)
    table = measure_masks(run, prompts, files, cases=own)
    return Result(
        table=table,
        shown=table.groupby(["case", "label"], sort=False).size().rename("n").reset_index(),
        summary="Shard {} of {}: ".format(*shard) + f"masks of {count(len(own), 'case')} measured.",
    )


def _judged(
    run: Run, patterns: Sequence[str]
) -> tuple[pd.DataFrame, list[dict[str, Path]], pd.DataFrame | None]:
    """Prompts of the masks that are judged, files of each set, and their table."""
    if patterns:
        consensus = run.store.read("consensus")
        files = [case_files(run.config, pattern) for pattern in patterns]
        return consensus[consensus["state"].isin(USABLE)], files, None
    if not run.store.has("masks"):
        raise InputError(f"{run.config.file}: has no [images] to draw masks on; give --masks.")
    prompts, drawn = read_manifest(run).prompt_table(), run.store.read("masks")
    return prompts, [mask_files(run, "filtered")], drawn


def measure_masks(
    run: Run, prompts: pd.DataFrame, files: Sequence[dict[str, Path]], *, cases: Sequence[str]
) -> pd.DataFrame:
    """What the masks of some cases say, kept for `judge_masks`.

    Parameters
    ----------
    run, prompts, files
        As for `judge_masks`.
    cases : sequence of str
        Which are measured, where they are not yet.
    """
    parts, _ = _parts(run, prompts, files)
    there = set(prompts["case"])
    tables = [parts.measure(case) for case in cases if case in there]
    empty = pd.DataFrame(columns=["case", "label"])
    return pd.concat([table for table in tables if len(table)] or [empty], ignore_index=True)


def judge_masks(
    run: Run,
    prompts: pd.DataFrame,
    files: Sequence[dict[str, Path]],
    *,
    drawn: pd.DataFrame | None,
    merge: bool = False,
) -> pd.DataFrame:
    """The risk of the masks of the first of several sets of files, a probability by `STATED`.

    Parameters
    ----------
    run : Run
    prompts : DataFrame
        Table ``consensus``: the boxes that the masks come from.
    files : sequence of dict
        For each set, case -> mask volume.
    drawn : DataFrame, optional
        Table ``masks`` of the first set.
    merge : bool
        Whether all must have been measured before.
    """
    parts, inputs = _parts(run, prompts, files)
    table = assess_risk(
        prompts,
        labels=run.config.label_values,
        prompts=drawn,
        known=parts.known(whole=merge),
        **inputs,
    )
    return table.assign(
        risk=STATED.probability(table["risk"].to_numpy()), risk_free=table["risk"].to_numpy()
    )


def _parts(
    run: Run, prompts: pd.DataFrame, files: Sequence[dict[str, Path]]
) -> tuple[RiskParts, dict[str, Any]]:
    """What is measured case by case, and of what: masks, images and pictures."""
    inputs = {
        "sets": [_reader(paths, run.config) for paths in files],
        "images": _with_spacing(run.store.read("images"), files, run.config),
        "pictures": _picture_reader(run.config) if has_volumes(run.config) else None,
    }
    return RiskParts(run, prompts, files=files, inputs=inputs), inputs


def _with_spacing(
    images: pd.DataFrame, files: Sequence[dict[str, Path]], config: Config
) -> pd.DataFrame:
    """The table ``images``; spacings that it lacks are those of the masks that are judged."""
    names = ["spacing_x", "spacing_y", "spacing_z"]
    unknown = images.loc[images[names].isna().all(axis=1), "case"].unique()
    found = {
        case: read_geometry(files[0][case], plane=config.images.plane).picture_spacing(
            config.images.picture
        )
        for case in unknown
        if case in files[0]
    }
    if not found:
        return images
    rows = images["case"].isin(found)
    images = images.astype(dict.fromkeys(names, np.float64))
    images.loc[rows, names] = np.array([found[case] for case in images.loc[rows, "case"]])
    return images


def _picture_reader(config: Config) -> Callable[[str], NDArray[np.uint8] | None]:
    """Case -> its pictures, as models see them."""
    files, images = image_files(config), config.images

    def read(case: str) -> NDArray[np.uint8] | None:
        if case not in files:
            return None
        values, _ = read_volume(files[case], plane=images.plane, resample=images.resample)
        return to_pictures(to_grey(values, images.window), images.picture)

    return read


def write_risk(run: Run, table: pd.DataFrame) -> None:
    """Write what was found of each mask.

    Parameters
    ----------
    run : Run
        An opened study.
    table : DataFrame
        The table ``risk``.
    """
    run.store.write("risk", table)
    run.store.set_stamp("risk", "", [RISK], needs=("fuse",))


def _calibrated(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The risk as the probability that the Dice of a mask is below one half."""
    dice = table[PLACE].merge(_read_scores(path), on=PLACE, how="left")["dice"].to_numpy()
    known = np.isfinite(dice)
    try:
        risk = calibrate(table[known], dice[known]).predict(table)
        left_out = cross_validate(table[known], dice[known])
    except ValueError as error:
        raise InputError(f"{path}: the risk cannot be calibrated: {error}") from error
    risk[known] = np.where(np.isfinite(left_out), left_out, risk[known])
    return _with_interval(table.assign(risk=risk), dice)


def _with_interval(table: pd.DataFrame, dice: Floats) -> pd.DataFrame:
    """The table with an interval of the Dice of each mask, where two cases or more were scored."""
    low, high = dice_interval(table, dice)
    known = np.isfinite(low).all() and len(low)
    return table.assign(dice_low=low, dice_high=high) if known else table


def _graded(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """The risk by what experts graded in decisions.csv."""
    grades = mask_grades(run, below=BAD_DICE)
    found = table[PLACE].merge(grades, on=PLACE, how="left")
    known = found["bad"].notna().to_numpy()
    if not known.any():
        raise InputError(
            f"{decisions_file(run.config)}: grades no mask as it is now. Grade some by "
            "crowdqc audit and crowdqc review first."
        )
    free = table["risk_free"].to_numpy()
    scale = fit_scale(free[known], found.loc[known, "bad"].to_numpy(dtype=np.float64))
    return _with_interval(table.assign(risk=scale.probability(free)), found["dice"].to_numpy())


def _read_scores(path: Path) -> pd.DataFrame:
    try:
        frame = read_csv(path, text=("case", "label"))
        frame = frame[[*PLACE, "dice"]].dropna().astype({"slice": np.int64, "dice": np.float64})
    except (ValueError, KeyError) as error:
        raise InputError(
            f"{path}: must be a table with the columns case, slice, label, dice ({error})."
        ) from error
    twice = frame.duplicated(PLACE)
    if twice.any():
        row = frame[twice].iloc[0]
        raise InputError(
            f"{path}: must have one Dice for each mask; got more than one for case {row['case']}, "
            f"slice {row['slice']}, {row['label']}. Keep the rows of one set of masks."
        )
    return frame


def _reader(paths: dict[str, Path], config: Config) -> Callable[[str], NDArray[Any] | None]:
    """Case -> its masks as the pictures that people annotated."""

    def read(case: str) -> NDArray[Any] | None:
        if case not in paths:
            return None
        labels, _ = read_labels(paths[case], plane=config.images.plane)
        return to_pictures(labels, config.images.picture)

    return read
