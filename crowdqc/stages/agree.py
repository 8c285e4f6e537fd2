"""The stage `agree`: measure agreement, and score each rater."""

from __future__ import annotations

from crowdqc.findings import Verdict
from crowdqc.formats import read_gold
from crowdqc.judge import judge_raters, rater_runs
from crowdqc.stages.base import Result, Run
from crowdqc.stages.images import known_images
from crowdqc.stages.study import load_matched, load_study, person, policy_of

RATERS_SHOWN = [
    "rater",
    "n_boxes",
    "agreement",
    "reliability",
    "miss_rate",
    "extra_rate",
    "verdict",
]


def agree(run: Run) -> Result:
    """Measure agreement, and score each rater."""
    from crowdqc.agreement import Resampling, assess_raters

    config = run.config
    section = config.agree
    gold, bad = read_gold(config, known_images(config))
    study = load_study(run)
    runs = run.store.read("completeness")
    runs = rater_runs(runs.assign(rater=person(runs, study.rater_scope)))
    result = assess_raters(
        load_matched(run),
        gold=gold,
        iou=section.iou,
        limits=section.limits,
        resampling=Resampling(n=section.bootstrap, level=section.level, seed=config.study.seed),
    )
    policy = policy_of(config)
    findings = policy.weigh([*bad, *result.findings])
    raters = judge_raters(result.raters, findings, policy, runs=runs)
    run.store.write("measurements", result.measurements)
    run.store.write("raters", raters)
    run.store.write_findings("agree", findings)
    rejected = raters.loc[raters["verdict"] == Verdict.REJECT.value, "rater"]
    return Result(
        table=raters,
        shown=raters[RATERS_SHOWN].rename(columns={"reliability": "reliable"}),
        summary=f"{len(rejected)} of {len(raters)} raters are rejected: "
        f"{', '.join(rejected) or 'none'}.",
        files=["measurements.csv", "raters.csv", "agree.findings.jsonl"],
        findings=findings,
    )
