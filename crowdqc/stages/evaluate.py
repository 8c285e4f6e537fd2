"""The stage `evaluate`: score masks against the truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from crowdqc.config import Config
from crowdqc.engine import open_engine
from crowdqc.findings import Finding, InputError, Verdict
from crowdqc.stages.base import Result, Run
from crowdqc.stages.extras import load
from crowdqc.stages.images import has_volumes, image_files
from crowdqc.stages.mask_sets import SETS, mask_files
from crowdqc.stages.study import write_findings
from crowdqc.stages.truth import truth_files
from crowdqc.text import count

WHY_MAX = 5
"""Cases whose reason is shown; all are in the findings."""


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
    findings = write_findings(run, "evaluate", [*findings, *found])
    volumes = scores[scores["slice"].isna()]
    means = volumes.pivot_table(index="label", columns="set", values="dice", sort=False)
    return Result(
        table=scores,
        shown=means.reset_index(),
        summary=score_summary(volumes, findings, cases=list(image_files(config)), sets=SETS),
        files=["scores.csv", "comparison.csv", "evaluate.findings.jsonl"],
        findings=findings,
        verdict=Verdict.ACCEPT if len(volumes) else Verdict.REJECT,
    )


def score_summary(
    volumes: pd.DataFrame, findings: Sequence[Finding], *, cases: Sequence[str], sets: Iterable[str]
) -> str:
    """Mean Dice of each set, of how many of some cases, and why the others are not scored.

    Parameters
    ----------
    volumes : DataFrame
        Rows of the table `scores` for whole volumes.
    findings : sequence of Finding
        What kept cases from being scored.
    cases : sequence of str
        Those that there are.
    sets : iterable of str
        Sets of masks that were to be scored.
    """
    means = []
    for name in sets:
        own = volumes[volumes["set"] == name]
        n = own["case"].nunique()
        of = "" if n == len(cases) else f" ({n} of {len(cases)} cases)"
        means.append(f"{name} {own['dice'].mean():.3f}{of}" if n else f"{name} none{of}")
    scored = set(volumes["case"])
    why = {one.case: one.message for one in findings}
    lost = [case for case in cases if case not in scored]
    shown = [f"{case}: {why.get(case, 'no mask, or no expert mask.')}" for case in lost[:WHY_MAX]]
    more = [f"and {len(lost) - WHY_MAX} more cases."] if len(lost) > WHY_MAX else []
    reasons = (
        "\n".join([f"{count(len(lost), 'case')} without scores:", *shown, *more]) if lost else ""
    )
    return f"Mean volume Dice: {', '.join(means)}. {reasons}".rstrip()


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
        labels=config.label_values,
        truth_values=config.truth_values,
        tolerances_mm=config.tolerances_mm,
        plane=config.images.plane,
        engine=open_engine(config.engine),
    )
    return table, findings
