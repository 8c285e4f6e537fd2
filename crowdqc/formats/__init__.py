"""Annotations in and out: one module a format, which recognises, reads and writes it.

files -> `Draft` (what the format says) -> rules that all formats share -> `Study` and findings

One file a slice: `yolo`, `voc` (on `slicefiles`). Files of many slices: `coco`, `cvat`,
`labelstudio`, `lidc` (on `collect`). A table of all: `table`. The rules: `draft`, `names`,
`states`, `never_drawn`, `images`. A first study file: `guess`. Writing: `conversion`. Formats of
other packages are found through `base`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from crowdqc.config import Config
from crowdqc.findings import Finding, InputError, check_info
from crowdqc.formats.base import Format, load_format
from crowdqc.formats.collect import Collector, Document
from crowdqc.formats.draft import Draft, to_pixels, to_study
from crowdqc.formats.files import inside
from crowdqc.formats.guess_documents import guess_documents
from crowdqc.formats.images import guess_sizes, images_table, settle_sizes
from crowdqc.formats.labels import LEVELS_UP, find_class_list
from crowdqc.formats.listing import Contents, Guess, Listing, look_into
from crowdqc.formats.names import sound_names
from crowdqc.formats.never_drawn import infer_labels
from crowdqc.formats.output import Output
from crowdqc.formats.patterns import find, has
from crowdqc.formats.plausible import implausible
from crowdqc.formats.rounds import Round, configs_of_rounds, merge_rounds, restricted
from crowdqc.formats.truth import COLUMNS as TRUTH_COLUMNS
from crowdqc.formats.truth import read_truth_boxes, without_gold
from crowdqc.schema import Study, stands_in

__all__ = [
    "Collector",
    "Contents",
    "Document",
    "Draft",
    "Format",
    "Guess",
    "Listing",
    "Output",
    "Round",
    "annotation_files",
    "guess_documents",
    "look_into",
    "merge_rounds",
    "read_gold",
    "read_rounds",
    "read_study",
    "read_truth_boxes",
    "read_with",
    "with_labels_asked",
]

Owed = Callable[[pd.DataFrame, int | None], pd.DataFrame]
"""From the table `images` and a round (None: all) to ``case, slice, rater, labels`` of
all readings that are owed."""


def read_study(
    config: Config, known: pd.DataFrame | None = None, *, owed: Owed | None = None
) -> tuple[Study, list[Finding]]:
    """Read the annotations that a study file names, of all rounds.

    Parameters
    ----------
    config : Config
        The study file.
    known : DataFrame, optional
        The table `images` as read from pictures or volumes; where it is absent, sizes come
        from the study file or from the annotations.
    owed : callable, optional
        Gives what was assigned, see `Owed`.

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
    rounds, findings = read_rounds(config, known, owed=owed)
    study, inferred = with_labels_asked(merge_rounds(rounds)[0], config, owed=owed)
    return study, [*findings, *inferred]


def with_labels_asked(
    study: Study, config: Config, *, owed: Owed | None = None
) -> tuple[Study, list[Finding]]:
    """A study of all rounds, without the labels that raters were not asked for.

    Parameters
    ----------
    study : Study
        Of all rounds.
    config : Config
        Says what it means that a rater never drew a label.
    owed : callable, optional
        As for `read_study`.

    Returns
    -------
    study : Study
        With the labels that each rater was asked for.
    findings : list of Finding
        As of `crowdqc.formats.never_drawn.infer_labels`.
    """
    assigned = None if owed is None else owed(study.images, None)
    return infer_labels(study, rule=config.annotations.never_drawn, owed=assigned)


def read_rounds(
    config: Config, known: pd.DataFrame | None = None, *, owed: Owed | None = None
) -> tuple[list[Round], list[Finding]]:
    """As `read_study`, each round of ``[annotations] rounds`` by itself.

    Parameters
    ----------
    config : Config
        The study file.
    known : DataFrame, optional
        As for `read_study`.
    owed : callable, optional
        As for `read_study`.

    Returns
    -------
    rounds : list of Round
        Those of which something is there.
    findings : list of Finding
        Of all of them, and one for each later round of which nothing is there yet.
    """
    first, *later = configs_of_rounds(config)
    study, findings = _read_round(first, known, owed)
    rounds = [Round(1, study)]
    for number, one in enumerate(later, start=2):
        folder = config.annotations.rounds[number - 1]
        if not _has_files(one):
            message = f"{folder}: round {number} holds no annotations yet."
            findings.append(Finding(check="round-empty", message=message))
            continue
        study, more = _read_round(one, known, owed)
        asked = None if owed is None else owed(study.images, number)
        rounds.append(Round(number, study if asked is None else restricted(study, asked)))
        findings += more
    return rounds, findings


def _has_files(config: Config) -> bool:
    try:
        return bool(find(config.resolve(config.annotations.path)).names)
    except InputError:
        return False


def read_with(
    config: Config, prepare: Callable[[Draft], tuple[Draft, pd.DataFrame]]
) -> tuple[Study, list[Finding]]:
    """As `read_study`, of one round, after what its files say was mended.

    Parameters
    ----------
    config : Config
        The study file.
    prepare : callable
        Takes what the files say; gives it mended, and the table `images`.

    Returns
    -------
    study : Study
        Everything that is sound.
    findings : list of Finding
        One for everything that is not.
    """
    draft, known = prepare(sound_names(_draft(config)))
    return _study_of(draft, config, known, owed=None)


def _read_round(
    config: Config, known: pd.DataFrame | None, owed: Owed | None
) -> tuple[Study, list[Finding]]:
    return _study_of(sound_names(_draft(config)), config, known, owed=owed)


def _study_of(
    draft: Draft, config: Config, known: pd.DataFrame | None, *, owed: Owed | None
) -> tuple[Study, list[Finding]]:
    if draft.readings.empty:
        raise InputError(_nothing(config, draft))
    draft = _settled(draft, known, config)
    images, more = images_table(draft.readings, known, config)
    if more:
        draft = _within(draft, images, ["case", "slice"])
    draft.findings = [*draft.findings, *more]
    if draft.readings.empty:
        raise InputError(_nothing(config, draft))
    in_px = not draft.in_fractions
    if not in_px:
        draft.boxes = to_pixels(draft.boxes, images)
    assigned = None if owed is None else owed(images, None)
    study, findings = to_study(draft, config, images, owed=assigned)
    findings = [_unquoted(finding, config) for finding in findings]
    return study, [*findings, *implausible(study, draft.boxes, in_px=in_px)]


def _unquoted(finding: Finding, config: Config) -> Finding:
    """`finding` without what it quotes of a file outside the study's folder.

    A stranger's study file may name any file, and messages go to others with the report.
    """
    file = (finding.source or "").rpartition(":")[0] or finding.source
    if finding.check not in _QUOTING or not file or inside(file, config):
        return finding
    about = check_info(finding.check).about
    message = f"{finding.source}: {about} (not quoted: the file lies outside the study's folder)."
    return dataclasses.replace(finding, message=message)


_QUOTING = {
    *("box-unfit", "class-list-differs", "field-count", "image-id", "image-name", "image-size"),
    *("images-merged", "not-a-number", "slice-number", "time-unknown", "unknown-class"),
}
"""Checks whose findings quote a file."""


def read_gold(
    config: Config, known: pd.DataFrame | None = None
) -> tuple[pd.DataFrame | None, list[Finding]]:
    """Boxes that count as the truth, of the table ``[truth] boxes`` or the rater ``[truth] rater``.

    Parameters
    ----------
    config : Config
        The study file.
    known : DataFrame, optional
        As for `read_study`.

    Returns
    -------
    boxes : DataFrame or None
        ``case, slice, label, x0, y0, x1, y1`` in px; `None` where the study names neither.
    findings : list of Finding
        What was left out.

    Raises
    ------
    InputError
        If they cannot be read.
    """
    truth = config.truth
    if truth is None or (truth.boxes is None and truth.rater is None):
        return None, []
    if truth.boxes is not None:
        return read_truth_boxes(config)
    study, _ = read_study(config.model_copy(update={"truth": None}), known)
    return study.boxes.loc[study.boxes["rater"] == truth.rater, TRUTH_COLUMNS], []


def annotation_files(config: Config) -> list[str]:
    """Paths of the files that `read_study` reads, class lists among them, in a fixed order.

    Raises
    ------
    InputError
        If no file is found.
    """
    first, *later = configs_of_rounds(config)
    names = find(config.resolve(first.annotations.path)).names
    for one in filter(_has_files, later):
        names = [*names, *find(config.resolve(one.annotations.path)).names]
    if not load_format(config.annotations.format).one_file_per_slice:
        return names
    folders = dict.fromkeys(name.rpartition(os.sep)[0] for name in names)
    lists = (find_class_list(Path(folder), LEVELS_UP) for folder in folders)
    return list(dict.fromkeys([*names, *(str(path) for path in lists if path)]))


def _draft(config: Config) -> Draft:
    found = load_format(config.annotations.format)
    _check_file_times(config, found)
    draft = found.read(config)
    if not isinstance(draft, Draft):
        raise InputError(
            f"format '{config.annotations.format}' must read into a crowdqc.formats.Draft; got "
            f"{type(draft).__name__}. Report it to the authors of the package that registers it."
        )
    if config.truth is not None and config.truth.rater is not None:
        draft = without_gold(draft, config.truth.rater)
    return draft


def _check_file_times(config: Config, found: Format) -> None:
    annotations = config.annotations
    own_files = found.one_file_per_slice and has(annotations.path, "rater")
    if annotations.file_times and not own_files:
        raise InputError(
            f"{config.file}: 'annotations.file_times' needs a format with one file for each slice "
            f"(yolo, voc), and {{rater}} in 'path'; got '{annotations.format}', "
            f"'{annotations.path}'. Set it to false."
        )


def _settled(draft: Draft, known: pd.DataFrame | None, config: Config) -> Draft:
    """With one size for each image, where the format or the boxes tell sizes."""
    readings, findings = settle_sizes(draft.readings, known, config)
    if len(readings) < len(draft.readings):
        draft = _within(draft, readings, ["case", "slice", "rater"])
    unsized = known is None and config.annotations.size is None and "height" not in readings
    if unsized and not draft.in_fractions:
        readings, findings = guess_sizes(draft.boxes, readings)
    return dataclasses.replace(draft, readings=readings, findings=[*draft.findings, *findings])


def _within(draft: Draft, rows: pd.DataFrame, keys: list[str]) -> Draft:
    """Only what lies where `rows` are."""
    boxes, readings, points = (
        frame[stands_in(rows, frame, keys)].reset_index(drop=True)
        for frame in (draft.boxes, draft.readings, draft.points)
    )
    return dataclasses.replace(draft, boxes=boxes, readings=readings, points=points)


def _nothing(config: Config, draft: Draft) -> str:
    """That there is nothing to work with, and the first reasons."""
    gravest = sorted(draft.findings, key=lambda finding: -finding.severity.rank)
    cases = [f"Case {one.case}: " if one.case and not one.source else "" for one in gravest]
    shown = zip(cases, gravest[:3], strict=False)
    reasons = [f"\n{case}{_unquoted(one, config).message}" for case, one in shown]
    none = " There is no box, and no slice that was read without one."
    return f"{config.file}: the annotations hold no reading at all." + ("".join(reasons) or none)
