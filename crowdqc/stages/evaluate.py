"""The stage `evaluate`: score masks against the truth."""

from __future__ import annotations

import pandas as pd

from crowdqc.config import Config
from crowdqc.engine import open_engine
from crowdqc.findings import Finding, InputError
from crowdqc.stages.base import Result, Run
from crowdqc.stages.extras import load
from crowdqc.stages.images import has_volumes
from crowdqc.stages.mask_sets import SETS, mask_files
from crowdqc.stages.truth import truth_files, truth_values


def has_truth(config: Config) -> bool:
    """Whether a study has expert masks to score masks against."""
    return has_volumes(config) and bool(config.truth and config.truth.path)


def evaluate(run: Run) -> Result:
    """Score both sets of masks against the truth, and compare them."""
    from crowdqc.compare import compare_scores

    config = run.config
    if not has_truth(config):
        raise InputError(f"{config.file}: scores need [images] path and [truth] path.")
    parts, findings = [], []
    for name in SETS:
        scores, found = _score(run, name)
        parts.append(scores)
        findings += found
    scores = pd.concat(parts, ignore_index=True)
    comparison, found = compare_scores(
        scores, names=("filtered", "unfiltered"), seed=config.study.seed
    )
    run.store.write("scores", scores)
    run.store.write("comparison", comparison)
    run.store.write_findings("evaluate", [*findings, *found])
    volumes = scores[scores["slice"].isna()]
    means = volumes.pivot_table(index="label", columns="set", values="dice", sort=False)
    return Result(
        table=scores,
        shown=means.reset_index(),
        summary=f"Mean volume Dice: {_means(volumes)}.",
        files=["scores.csv", "comparison.csv", "evaluate.findings.jsonl"],
        findings=[*findings, *found],
    )


def _means(volumes: pd.DataFrame) -> str:
    means = volumes.groupby("set", sort=False)["dice"].mean()
    return ", ".join(f"{name} {value:.3f}" for name, value in means.items())


def _score(run: Run, name: str) -> tuple[pd.DataFrame, list[Finding]]:
    module = load("train.evaluate")
    config = run.config
    truth = truth_files(config)
    cases = [
        module.ScoredCase(case=case, mask=mask, truth=truth[case])
        for case, mask in mask_files(run, name).items()
        if case in truth
    ]
    table, findings = module.score_masks(
        cases,
        set_name=name,
        labels={label.name: label.value for label in config.labels.values()},
        truth_values=truth_values(config),
        tolerances_mm=config.tolerances_mm,
        plane=config.images.plane,
        engine=open_engine(config.engine),
    )
    return table, findings
