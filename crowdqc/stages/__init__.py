"""The pipeline: what each command does, which stages it needs, and when it must run again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from crowdqc.config import Changes, Config, load_config
from crowdqc.readers import annotation_files
from crowdqc.stages import boxes, judge, masks, show, truth
from crowdqc.stages.base import Pipeline, Result, Run, Stage
from crowdqc.stages.images import case_files, image_files
from crowdqc.store import Store

__all__ = ["PIPELINE", "Result", "open_run", "run_all"]

_READ = ("labels", "annotations", "images", "truth")


def open_run(
    file: Path,
    *,
    out: Path | None = None,
    changes: Changes | None = None,
    say: Callable[[str], None],
) -> Run:
    """Open a study for running.

    Parameters
    ----------
    file : Path
        The study file.
    out : Path, optional
        Folder of results instead of ``[study] out``, relative to the working directory.
    changes : dict of dict, optional
        As for `crowdqc.config.load_config`.
    say : callable
        Told a line for everything that happens.
    """
    where = {"study": {"out": None if out is None else str(out.absolute())}}
    config = load_config(file, changes={**(changes or {}), **where})
    return Run(config, Store(config.out, config.study.name), say)


def run_all(run: Run) -> Result:
    """Run every stage that is not up to date; the result is the report, the verdict the gate's."""
    *before, last = PIPELINE.stages
    for name in before:
        PIPELINE.ensure(name, run)
    result = PIPELINE.run(last, run)
    return dataclasses.replace(result, verdict=judge.verdict_for_exit(masks.read_manifest(run)))


def _annotations(config: Config) -> list[Path]:
    return [*annotation_files(config), *image_files(config).values()]


def _truth(config: Config) -> list[Path]:
    if config.truth is None or config.truth.path is None:
        return []
    return list(case_files(config, config.truth.path).values())


def _gold_boxes(config: Config) -> list[Path]:
    if config.truth is None or config.truth.boxes is None:
        return []
    return [config.resolve(config.truth.boxes)]


def _policy(config: Config) -> list[Path]:
    return [] if config.gate.policy is None else [config.resolve(config.gate.policy)]


PIPELINE = Pipeline(
    [
        Stage(
            "simulate",
            truth.simulate,
            sections=("labels", "images", "truth", "simulate"),
            inputs=_truth,
            applies=truth.is_simulated,
        ),
        Stage("check", boxes.check, needs=("simulate",), sections=_READ, inputs=_annotations),
        Stage("complete", boxes.complete, needs=("check",), sections=("labels", "images")),
        Stage(
            "agree",
            boxes.agree,
            needs=("check", "complete"),
            sections=("match", "agree", "truth"),
            inputs=lambda config: [*_gold_boxes(config), *_policy(config)],
        ),
        Stage("fuse", boxes.fuse, needs=("check",), sections=("match", "fuse")),
        Stage(
            "gate",
            judge.gate,
            needs=("agree", "fuse", "complete"),
            sections=("gate", "match", "fuse"),
            inputs=_policy,
        ),
        Stage(
            "masks",
            masks.masks,
            needs=("gate",),
            sections=("labels", "images", "masks"),
            inputs=lambda config: list(image_files(config).values()),
            applies=masks.has_images,
        ),
        Stage(
            "dataset",
            masks.dataset,
            needs=("masks",),
            sections=("labels", "dataset", "truth"),
            applies=masks.has_images,
        ),
        Stage(
            "evaluate",
            masks.evaluate,
            needs=("masks",),
            sections=("labels", "truth"),
            inputs=_truth,
            applies=masks.has_truth,
        ),
        Stage("report", show.report, needs=("gate",)),
    ]
)
"""All stages, in the order in which a study goes through them."""
