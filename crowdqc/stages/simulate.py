"""The stage `simulate`: boxes as raters with known faults would draw them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdqc.config import SIMULATED, Config
from crowdqc.findings import InputError
from crowdqc.stages.base import Result, Run
from crowdqc.stages.images import case_files
from crowdqc.text import count


def is_simulated(config: Config) -> bool:
    """Whether the annotations of a study are those that `crowdqc simulate` writes."""
    ours = config.out / SIMULATED
    return config.simulate is not None and config.resolve(config.annotations.path) == ours


def simulate(run: Run) -> Result:
    """Draw boxes as raters with known faults would, from the expert masks."""
    from crowdqc.formats.slices import write_slices
    from crowdqc.simulate import simulate_study

    config = run.config
    if config.simulate is None or config.truth is None or config.truth.path is None:
        raise InputError(f"{config.file}: needs [simulate] and [truth] path to simulate raters.")
    study = simulate_study(
        _true_pictures(config, config.truth.path),
        name=config.study.name,
        labels=config.truth_values,
        simulate=config.simulate,
        seed=config.study.seed,
    )
    ids = {label.name: key for key, label in config.labels.items()}
    with run.store.new_folder("simulated") as folder:
        files = write_slices(study, folder, ids=ids, pattern=SIMULATED.partition("/")[2])
    counts = study.boxes.groupby(["rater", "label"]).size().rename("n_boxes").reset_index()
    wide = counts.pivot_table(index="rater", columns="label", values="n_boxes", fill_value=0)
    return Result(
        table=counts,
        shown=wide.astype(int).reset_index(),
        summary=f"{count(len(study.boxes), 'box')} of {count(len(study.raters), 'rater')} in "
        f"{count(files, 'file')}.",
        files=["simulated"],
    )


def _true_pictures(config: Config, pattern: str) -> Iterator[tuple[str, NDArray[Any]]]:
    from crowdqc.volumes import read_labels, to_pictures

    for case, path in case_files(config, pattern).items():
        labels, _ = read_labels(path, plane=config.images.plane)
        yield case, to_pictures(labels, config.images.picture).astype(np.int32)
