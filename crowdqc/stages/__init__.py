"""The pipeline: what each command does, which stages it needs, and when it must run again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from crowdqc.config import Config, load_config
from crowdqc.readers import annotation_files
from crowdqc.stages import boxes, judge, masks, show, truth
from crowdqc.stages.base import Pipeline, Result, Run, Stage
from crowdqc.stages.images import case_files, image_files
from crowdqc.store import Store

__all__ = ["PIPELINE", "Result", "open_run", "run_all"]

_READ = ("labels", "annotations", "images", "truth")


def open_run(file: Path, *, out: Path | None, say: Callable[[str], None]) -> Run:
    """Open a study for running: its file, and its folder of results (or `out` instead)."""
    config = load_config(file, out=out)
    return Run(config, Store(config.out, config.study.name), say)


def run_all(run: Run) -> Result:
    """Run every stage that is not up to date; the result is the report, the verdict the gate's."""
    *before, last = PIPELINE.stages
    for name in before:
        PIPELINE.ensure(name, run)
    manifest = masks.read_manifest(run)
    return dataclasses.replace(PIPELINE.run(last, run), verdict=manifest.verdict)


def _annotations(config: Config) -> list[Path]:
    return [*annotation_files(config), *image_files(config).values()]


def _truth(config: Config) -> list[Path]:
    if config.truth is None or config.truth.path is None:
        return []
    return list(case_files(config, config.truth.path).values())


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
        Stage("agree", boxes.agree, needs=("check",), sections=("match", "agree")),
        Stage("fuse", boxes.fuse, needs=("check",), sections=("match", "fuse")),
        Stage("complete", boxes.complete, needs=("check",)),
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
