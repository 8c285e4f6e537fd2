"""The table of images: every slice that is known, from the images or from the annotations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from crowdqc.config import SIDE_MAX, Config
from crowdqc.findings import Finding, InputError
from crowdqc.formats.patterns import has
from crowdqc.schema import IMAGE, conform, natural_order, stands_in
from crowdqc.text import count

SIZE = ["height", "width"]
SLICES_LEAST, USUAL = 5, 0.8
"""Slices of a case, and share of them with one size, from which on another size is odd."""
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
    read = readings.drop_duplicates(IMAGE)[[*IMAGE, *_given(readings, SIZE)]]
    if known is None:
        return _in_order(_with_size(read, config), config), []
    _refuse_contradiction(known, config)
    _refuse_others(read, known, config)
    missing = _no_image(read[~stands_in(known, read, IMAGE)])
    return _in_order(known, config), [*missing, *_odd_sizes(known)]


def guess_sizes(boxes: pd.DataFrame, readings: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """Sizes from how far the boxes reach, where the format gives pixels and no size.

    Parameters
    ----------
    boxes, readings : DataFrame
        ``case, slice`` and, for boxes, ``x1, y1`` in px.

    Returns
    -------
    readings : DataFrame
        With ``height, width``: the smallest whole ones that hold every finite box, as far as an
        image can reach.
    findings : list of Finding
        One that says so.
    """
    finite = boxes[np.isfinite(boxes[["x1", "y1"]]).all(axis=1)]
    reach = np.ceil(finite.groupby(IMAGE)[["y1", "x1"]].max()).clip(1, SIDE_MAX)
    reach = reach.rename(columns={"y1": "height", "x1": "width"}).reset_index()
    sized = readings.merge(reach, on=IMAGE, how="left").fillna({"height": 1, "width": 1})
    message = (
        "No size of the images is given: it is taken from how far the boxes reach, so boxes "
        "beyond an image cannot be found. Give [annotations] size, columns height and width, "
        "or [images]."
    )
    return sized, [Finding(check="image-size-guessed", message=message)]


def sizes_of(boxes: pd.DataFrame, images: pd.DataFrame) -> np.ndarray:
    """``width, height`` in px of the image of each box, shape (N, 2).

    Parameters
    ----------
    boxes : DataFrame
        N rows with case and slice.
    images : DataFrame
        Case, slice, width and height of each image.

    Returns
    -------
    ndarray, shape (N, 2)
        nan for the image of a box that `images` lacks, unless all have one size.
    """
    size = images[["width", "height"]].drop_duplicates().to_numpy(np.float64)
    if len(size) == 1:  # as in most studies
        return np.repeat(size, len(boxes), axis=0)
    found = boxes[IMAGE].merge(images[[*IMAGE, "width", "height"]], on=IMAGE, how="left")
    return found[["width", "height"]].to_numpy(np.float64)


def settle_sizes(
    readings: pd.DataFrame, known: pd.DataFrame | None, config: Config
) -> tuple[pd.DataFrame, list[Finding]]:
    """Readings with one size for each slice, where the format says sizes.

    Parameters
    ----------
    readings : DataFrame
        ``case, slice, rater`` and, where the format says so, ``height, width`` (nan: not stated).
    known : DataFrame, optional
        The table `images`, which counts where it is given; then ``[annotations] size``; then the
        first reading of the slice.
    config : Config
        The study file.

    Returns
    -------
    readings : DataFrame
        Without those whose size is another one: their boxes are of another picture.
    findings : list of Finding
        What was left out, and sizes that had to be taken from other slices.
    """
    if "height" not in readings:
        return readings, []
    stated = readings[SIZE].to_numpy(np.float64)
    right = _right_sizes(readings, known, config)
    other = (np.isfinite(stated) & np.isfinite(right) & (stated != right)).any(axis=1)
    findings = [
        _other_size(row, size)
        for row, size in zip(readings[other].itertuples(), right[other], strict=True)
    ]
    readings = readings.assign(height=right[:, 0], width=right[:, 1])[~other]
    unsized = readings["height"].isna()
    if not unsized.any():
        sized = readings.astype({"height": int, "width": int})
        return sized, [*findings, *(_odd_sizes(sized) if known is None else [])]
    if known is not None:
        return readings.drop(columns=SIZE), findings  # slices without an image: found later
    usual = readings[SIZE].mode().iloc[0]
    message = (
        f"the image's size is not stated by {count(int(unsized.sum()), 'reading')}: "
        f"{usual['height']:g} rows and {usual['width']:g} columns are taken, as most have."
    )
    note = Finding(check="image-size-guessed", message=message)
    return readings.fillna(usual.to_dict()).astype({"height": int, "width": int}), [*findings, note]


def _odd_sizes(images: pd.DataFrame) -> list[Finding]:
    """Slices of another size than nearly all of their case, which may be of another one."""
    slices = images.drop_duplicates(IMAGE)
    n = slices.groupby("case")["case"].transform("size")
    same = slices.groupby(["case", *SIZE])["case"].transform("size")
    most = same.groupby(slices["case"]).transform("max")
    odd = slices[(n >= SLICES_LEAST) & (most >= USUAL * n) & (same < most)]
    found = []
    for case, rows in odd.sort_values(IMAGE).groupby("case"):
        number, height, width = rows[["slice", *SIZE]].iloc[0].astype(int)
        message = (
            f"{count(len(rows), 'slice')} of this case, first {number}, with {height} rows and "
            f"{width} columns, differ in size from the others: they may be of another case or "
            "series. Look at these pictures."
        )
        found.append(
            Finding(check="slice-size-odd", message=message, case=case, value=float(len(rows)))
        )
    return found


def _right_sizes(readings: pd.DataFrame, known: pd.DataFrame | None, config: Config) -> np.ndarray:
    """Rows and columns of the image of each reading, shape (N, 2); nan where nothing says it."""
    if known is not None:
        right = readings[IMAGE].merge(known[[*IMAGE, *SIZE]], on=IMAGE, how="left")
        return right[SIZE].to_numpy(np.float64)
    if config.annotations.size is not None:
        return np.tile(np.array(config.annotations.size, dtype=np.float64), (len(readings), 1))
    return readings.groupby(IMAGE, sort=False)[SIZE].transform("first").to_numpy(np.float64)


def _other_size(row: Any, right: np.ndarray) -> Finding:
    message = (
        f"by its file the image has {row.height:g} rows and {row.width:g} columns, but it has "
        f"{right[0]:g} and {right[1]:g}. The reading is left out: its boxes are of another picture."
    )
    return Finding(
        check="image-size-differs",
        message=message,
        case=row.case,
        slice=int(row.slice),
        rater=row.rater,
    )


def _given(frame: pd.DataFrame, columns: list[str]) -> list[str]:
    return [name for name in columns if name in frame.columns]


def _with_size(read: pd.DataFrame, config: Config) -> pd.DataFrame:
    if "height" in read.columns:
        return read
    if config.annotations.size is None:
        raise InputError(
            f"{config.file}: the size of the images is not known. Give [annotations] "
            "size = [rows, columns], or, where sizes differ, [images] path."
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


def _refuse_others(read: pd.DataFrame, known: pd.DataFrame, config: Config) -> None:
    """Refuse images of which none is of a case that was annotated."""
    ours, theirs = (natural_order(frame["case"].unique()) for frame in (known, read))
    if not theirs or set(ours) & set(theirs):
        return
    pattern = config.images.path or config.images.geometry or ""
    remedy = f" Make {{case}} stand for the same text in both (images: '{pattern}')."
    if pattern and not has(pattern, "case"):
        remedy = f" '{pattern}' holds no {{case}}, and a lone case is named like the study."
    raise InputError(
        f"{config.file}: no image is of a case that was annotated: the images are of "
        f"{_first(ours)}, the annotations of {_first(theirs)}.{remedy}"
    )


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _no_image(absent: pd.DataFrame) -> list[Finding]:
    findings = []
    for case, group in absent.groupby("case", sort=True):
        slices = " ".join(str(k) for k in sorted(group["slice"]))
        message = (
            f"slices {slices} were annotated, but there is no such image. What was drawn on them "
            "is left out. Check [images] path and the numbering of slices."
        )
        first = int(group["slice"].min())
        findings.append(
            Finding(
                check="slice-without-image",
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
