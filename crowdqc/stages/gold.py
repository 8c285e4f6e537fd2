"""Cases of a study whose truth is known, for models that learn from them.

Truth is an expert mask (``[truth] path``), or a mask that reviewers graded as good. The latter can
be learned from, but not be compared with: the model drew them itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from crowdqc.config import Config
from crowdqc.decisions import GRADES, decisions_file, read_decisions, settled_masks
from crowdqc.decisions.standing import SETTLED
from crowdqc.findings import InputError
from crowdqc.stages.audit_units import hash_of_masks
from crowdqc.stages.base import Run
from crowdqc.stages.extras import load
from crowdqc.stages.images import image_files, volume_geometry
from crowdqc.stages.mask_sets import mask_files
from crowdqc.stages.truth import VALUES_REMEDY, truth_files, unlike_image
from crowdqc.text import count


def gold_cases(run: Run) -> tuple[list[Any], list[str]]:
    """Cases whose truth is known, and which of them are no expert's, so that none is held out.

    Cases of ``[dataset] test``, and others of their patients, are not looked at.

    Parameters
    ----------
    run : Run

    Returns
    -------
    cases : list of GoldCase
    graded : list of str
        Those whose masks were graded as good.

    Raises
    ------
    InputError
        If there is none, with how many there are in all.
    """
    config, kind = run.config, load("samgen.adapt").GoldCase
    patient_of = partial(load("train.splits").patient_of, pattern=config.dataset.patient)
    test = {patient_of(case) for case in config.dataset.test}
    images = {c: p for c, p in image_files(config).items() if patient_of(c) not in test}
    truth = truth_files(config)
    own = {case: path for case, path in truth.items() if case in images}
    known = {
        case: read
        for case, path in own.items()
        if (read := _truth_of(run, case, path=path, image=images[case])) is not None
    }
    if not known:
        raise InputError(f"{config.file}: {_why_none(len(truth), len(own))}")
    places = _graded_places(run, set(images) - set(own))
    drawn = mask_files(run, "filtered") if places else {}
    reads = known | {
        case: partial(_labels, drawn[case], config, config.label_values) for case in places
    }
    cases = [
        kind(
            name=case,
            patient=patient_of(case),
            image=images[case],
            read=read,
            places=places.get(case),
        )
        for case, read in reads.items()
    ]
    return cases, list(places)


def _why_none(n: int, n_own: int) -> str:
    """Why there is no truth, of which there are masks of n cases and of so many not tested on."""
    least = load("samgen.adapt.gold").GOLD_MIN
    why = "none fits its image" if n_own else "all are in [dataset] test, or of its patients"
    return (
        "a model learns from expert masks and is compared on them, and there are none: [truth] "
        f"path has {count(n, 'case')}{f', and {why}' if n else ''}. Give masks of at least {least} "
        "patients who are not tested on."
    )


def _truth_of(run: Run, case: str, *, path: Path, image: Path) -> Any:
    """What reads the truth of a case; None, and said so, where it does not fit its image."""
    _, why = unlike_image(run.config, path, volume_geometry(image, run.config), whole=False)
    if why:
        run.say(f"{case} is left out: {why}")
        return None
    return partial(_labels, path, run.config, run.config.truth_values)


def _labels(path: Path, config: Config, values: Mapping[str, int]) -> Any:
    """Label values of a case as its pictures show it."""
    from crowdqc.volumes import foreign_values, read_labels, to_pictures

    labels, _ = read_labels(path, plane=config.images.plane)
    foreign = foreign_values(labels, values)
    if foreign:
        raise InputError(f"{path}: {foreign}. {VALUES_REMEDY}")
    return to_pictures(labels, config.images.picture)


def _graded_places(run: Run, cases: set[str]) -> dict[str, frozenset[tuple[int, str]]]:
    """Case -> slices and labels whose masks, as they are now, all reviewers called good."""
    if not decisions_file(run.config).is_file():
        return {}
    decisions = read_decisions(run.config)
    own = decisions[decisions["case"].isin(cases)]
    settled = settled_masks(own, hash_of_masks(run))
    good = settled[(settled["state"] == SETTLED) & (settled["grade"] == GRADES[0])]
    return {
        case: frozenset(zip(rows["slice"], rows["label"], strict=True))
        for case, rows in good.groupby("case")
    }
