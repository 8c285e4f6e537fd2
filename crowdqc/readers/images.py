"""The table of images: every slice that is known, from the images or from the annotations."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.config import Config
from crowdqc.findings import Finding, InputError, Severity
from crowdqc.schema import conform, natural_order

KEYS = ["case", "slice"]
SPACING = ["spacing_x", "spacing_y", "spacing_z"]


def images_table(
    readings: pd.DataFrame, known: pd.DataFrame | None, config: Config
) -> tuple[pd.DataFrame, list[Finding]]:
    """One row for each slice.

    Parameters
    ----------
    readings : DataFrame
        What was read: ``case, slice`` and, where the format says so, ``height, width``.
    known : DataFrame, optional
        The table `images` as read from pictures or volumes. Where it is given, a slice that
        was read but is not in it is a fault.
    config : Config
        Gives ``[annotations] size`` and ``spacing`` where no image says them.

    Returns
    -------
    images : DataFrame
        The table `images`.
    findings : list of Finding
        Slices without an image, and sizes that had to be guessed.

    Raises
    ------
    InputError
        If the images and ``[annotations] size`` contradict each other, or nothing tells
        the size of a slice whose boxes are given as fractions.
    """
    read = readings.drop_duplicates(KEYS)[[*KEYS, *_given(readings, ["height", "width"])]]
    if known is None:
        return _in_order(_with_size(read, config), config), []
    _refuse_contradiction(known, config)
    absent = ~pd.MultiIndex.from_frame(read[KEYS]).isin(pd.MultiIndex.from_frame(known[KEYS]))
    return _in_order(known, config), _no_image(read[absent])


def guess_sizes(boxes: pd.DataFrame, readings: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """Sizes from how far the boxes reach, where the format gives pixels and no size.

    Parameters
    ----------
    boxes, readings : DataFrame
        ``case, slice`` and, for boxes, ``x1, y1`` in px.

    Returns
    -------
    readings : DataFrame
        With ``height, width``: the smallest whole ones that hold every finite box.
    findings : list of Finding
        One that says so.
    """
    finite = boxes[np.isfinite(boxes[["x1", "y1"]]).all(axis=1)]
    reach = np.ceil(finite.groupby(KEYS)[["y1", "x1"]].max()).clip(lower=1)
    reach = reach.rename(columns={"y1": "height", "x1": "width"}).reset_index()
    sized = readings.merge(reach, on=KEYS, how="left").fillna({"height": 1, "width": 1})
    message = (
        "No size of the images is given: it is taken from how far the boxes reach, so boxes "
        "beyond an image cannot be found. Give [annotations] size, columns height and width, "
        "or [images]."
    )
    return sized, [Finding(check="image-size-guessed", severity=Severity.NOTE, message=message)]


def _given(frame: pd.DataFrame, columns: list[str]) -> list[str]:
    return [name for name in columns if name in frame.columns]


def _with_size(read: pd.DataFrame, config: Config) -> pd.DataFrame:
    if "height" in read.columns:
        return read
    if config.annotations.size is None:
        raise InputError(
            f"{config.file}: the size of the images is not known. Give [annotations] "
            "size = [rows, columns], or [images] path."
        )
    height, width = config.annotations.size
    return read.assign(height=height, width=width)


def _refuse_contradiction(known: pd.DataFrame, config: Config) -> None:
    if config.annotations.size is None:
        return
    other = (known[["height", "width"]] != list(config.annotations.size)).any(axis=1)
    if other.any():
        row = known[other].iloc[0]
        raise InputError(
            f"{config.file}: [annotations] size is {list(config.annotations.size)}, but the image "
            f"of case {row['case']}, slice {row['slice']} has {row['height']} rows and "
            f"{row['width']} columns ({row['path']}). Leave size out: the images tell it."
        )


def _no_image(absent: pd.DataFrame) -> list[Finding]:
    findings = []
    for case, group in absent.groupby("case", sort=True):
        slices = " ".join(str(k) for k in sorted(group["slice"]))
        message = (
            f"Case {case}: slices {slices} were annotated, but there is no such image. What was "
            "drawn on them is left out. Check [images] path and the numbering of slices."
        )
        first = int(group["slice"].min())
        findings.append(
            Finding(
                check="slice-without-image",
                severity=Severity.REJECT,
                message=message,
                case=case,
                slice=first,
            )
        )
    return findings


def _in_order(images: pd.DataFrame, config: Config) -> pd.DataFrame:
    order = {name: rank for rank, name in enumerate(natural_order(images["case"].unique()))}
    images = images.iloc[np.lexsort([images["slice"], images["case"].map(order)])]
    if not _given(images, SPACING):
        spacing = config.annotations.spacing or (np.nan, np.nan, np.nan)
        images = images.assign(**dict(zip(SPACING, spacing, strict=True)))
    return conform("images", images)
