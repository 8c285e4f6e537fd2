"""Annotation files in, a checked `Study` out: one module a format, nothing else knows formats.

file -> Draft (what the format says)  -> rules that all formats share -> Study + findings
yolo.py, table.py                        draft.py, states.py, images.py
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from crowdqc.config import Config
from crowdqc.findings import Finding
from crowdqc.readers.draft import Draft, to_study
from crowdqc.readers.images import guess_sizes, images_table
from crowdqc.readers.patterns import find
from crowdqc.readers.table import read_table
from crowdqc.readers.truth import read_truth_boxes, without_gold
from crowdqc.readers.yolo import read_yolo, scale
from crowdqc.schema import Study

__all__ = ["annotation_files", "read_study", "read_truth_boxes"]


def read_study(config: Config, known: pd.DataFrame | None = None) -> tuple[Study, list[Finding]]:
    """Read the annotations that a study file names.

    Parameters
    ----------
    config : Config
        The study file.
    known : DataFrame, optional
        The table `images` as read from pictures or volumes; where it is absent, sizes come
        from the study file or from the annotations.

    Returns
    -------
    study : Study
        Everything that is sound.
    findings : list of Finding
        One for every line that is not, and for everything that had to be inferred.

    Raises
    ------
    InputError
        If nothing can be read, or the study file does not say what is needed.
    """
    draft = _draft(config)
    notes: list[Finding] = []
    unsized = known is None and config.annotations.size is None
    if unsized and "height" not in draft.readings and _in_pixels(config):
        draft.readings, notes = guess_sizes(draft.boxes, draft.readings)
    images, more = images_table(draft.readings, known, config)
    if more:
        draft = _within(draft, images)
    if not _in_pixels(config):
        draft.boxes = scale(draft.boxes, images)
    draft.findings = [*draft.findings, *notes, *more]
    return to_study(draft, config, images)


def annotation_files(config: Config) -> list[Path]:
    """Files that `read_study` reads, in a fixed order.

    Raises
    ------
    InputError
        If no file is found.
    """
    path = config.resolve(config.annotations.path)
    if _in_pixels(config):
        return [path]
    return [found.path for found in find(path).files]


def _draft(config: Config) -> Draft:
    read = read_table if _in_pixels(config) else read_yolo
    draft = read(config)
    if config.truth is not None and config.truth.rater is not None:
        draft, _ = without_gold(draft, config.truth.rater)
    return draft


def _in_pixels(config: Config) -> bool:
    return config.annotations.format == "table"


def _within(draft: Draft, images: pd.DataFrame) -> Draft:
    """Without what lies on slices that do not exist."""
    keys = ["case", "slice"]
    there = pd.MultiIndex.from_frame(images[keys])
    boxes, readings = (
        frame[pd.MultiIndex.from_frame(frame[keys]).isin(there)].reset_index(drop=True)
        for frame in (draft.boxes, draft.readings)
    )
    return Draft(boxes, readings, draft.findings)
