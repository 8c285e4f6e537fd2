"""What the command `convert` writes: the annotations of the raters, or the consensus."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

import crowdqc
from crowdqc.findings import Finding
from crowdqc.formats import merge_rounds, read_rounds
from crowdqc.formats.conversion import convert as write
from crowdqc.formats.output import Output
from crowdqc.judge import USABLE
from crowdqc.packages.pictures import WantedPicture, write_pictures
from crowdqc.packages.sent import returned_rounds
from crowdqc.packages.write import PICTURES
from crowdqc.report.slice_files import VolumeSlices
from crowdqc.schema import BOX, PLACE, ReadingState, Study, stands_in
from crowdqc.stages.base import Run
from crowdqc.stages.images import known_images
from crowdqc.stages.pipeline import PIPELINE, masks_are_current
from crowdqc.stages.study import load_study
from crowdqc.stages.tasks import original_pictures
from crowdqc.store import Store

What = Literal["raters", "consensus"]
CONSENSUS = "consensus"
"""Rater of the fused boxes."""


def convert(
    run: Run, format: str, folder: Path, *, what: What = "raters", pictures: bool = False
) -> tuple[Study, list[Finding]]:
    """Write a study in another format.

    Parameters
    ----------
    run : Run
        The study.
    format : str
        Name of the format.
    folder : Path
        Where to: a folder that is not there yet, or is empty.
    what : {"raters", "consensus"}
        What is written: all that raters drew, of all rounds, or the fused boxes that may be used,
        each with its score.
    pictures : bool
        Whether the pictures of the slices are written beside.

    Returns
    -------
    study : Study
        What was written.
    findings : list of Finding
        What was not read, and what the format cannot hold.
    """
    study, findings = _fused_study(run) if what == "consensus" else _drawn(run)
    model = f"crowdqc {crowdqc.__version__}" if what == "consensus" else ""

    def beside(output: Output, place: Path) -> None:
        _write_pictures(run, output, place)

    losses = write(study, format, folder, model=model, pictures=beside if pictures else None)
    return study, [*findings, *losses]


def _drawn(run: Run) -> tuple[Study, list[Finding]]:
    rounds, findings = read_rounds(run.config, known_images(run.config))
    rounds += returned_rounds(run.config, rounds[0].study)
    return merge_rounds(sorted(rounds, key=lambda one: one.number))[0], findings


def _fused_study(run: Run) -> tuple[Study, list[Finding]]:
    """The fused boxes that may be used as a study of one rater, with a column `score`.

    The score is 1 less the risk of the mask where masks were drawn, else 1 less the expected error
    of the box: the lowest are those that are most likely wrong.
    """
    PIPELINE.ensure("fuse", run)
    study, consensus = load_study(run), run.store.read("consensus")
    usable = consensus[consensus["state"].isin(USABLE)].dropna(subset=BOX)
    score = 1 - usable["expected_error"].fillna(1.0)
    if run.store.has("masks") and masks_are_current(run):
        risk = run.store.read("masks").drop_duplicates(PLACE).set_index(PLACE)["risk"]
        drawn = risk.reindex(pd.MultiIndex.from_frame(usable[PLACE])).to_numpy()
        score = pd.Series(np.where(np.isnan(drawn), score, 1 - drawn), index=usable.index)
    boxes = usable[[*PLACE, *BOX]].assign(rater=CONSENSUS, score=score.clip(0, 1))
    read = study.readings[study.readings["state"] != ReadingState.OPENED.value]
    places = pd.concat([read, usable])[["case", "slice"]].drop_duplicates()
    places = places[stands_in(study.images, places, ["case", "slice"])]
    boxed = stands_in(usable, places, ["case", "slice"])
    state = np.where(boxed, ReadingState.BOXED.value, ReadingState.REVIEWED_EMPTY.value)
    fused = Study(
        study.name,
        study.labels,
        study.images,
        places.assign(rater=CONSENSUS, labels="", state=state),
        boxes[stands_in(places, boxes, ["case", "slice"])].assign(box=lambda f: np.arange(len(f))),
        single=study.single,
    )
    return fused, []


def _write_pictures(run: Run, output: Output, folder: Path) -> None:
    """The picture of each slice that is written, once."""
    (folder / PICTURES).mkdir()
    back = {new: case for case, new in output.cases.items()}
    images = known_images(run.config)
    images = output.study.images if images is None else images
    of_case = dict(iter(images.groupby("case")))
    store: Store = run.store
    wanted = {
        one.image: WantedPicture(
            back[one.case],
            one.slice,
            one.height,
            one.width,
            folder / PICTURES / f"{one.image}.png",
        )
        for one in output.readings()
    }
    write_pictures(
        list(wanted.values()),
        open_source=lambda case: VolumeSlices(store, run.config, of_case[case]),
        originals=original_pictures(run.config, images),
    )
