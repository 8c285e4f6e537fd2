"""The gate: a policy (data) and measures (numbers) in, verdicts and the manifest out."""

from crowdqc.judge.certificate import Now, make_certificate
from crowdqc.judge.decide import Decision, decide, study_measures, withheld_findings
from crowdqc.judge.explain import changes, explain
from crowdqc.judge.formats import to_github, to_junit
from crowdqc.judge.isolated import isolated
from crowdqc.judge.manifest import Manifest, make_manifest
from crowdqc.judge.measures import (
    USABLE,
    box_measures,
    case_measures,
    judged_findings,
    label_measures,
    rater_measures,
    rater_runs,
    slice_measures,
    with_counts,
)
from crowdqc.judge.policy import Judged, Policy, Rule, load_policy
from crowdqc.judge.raters import judge_raters

__all__ = [
    "USABLE",
    "Decision",
    "Judged",
    "Manifest",
    "Now",
    "Policy",
    "Rule",
    "box_measures",
    "case_measures",
    "changes",
    "decide",
    "explain",
    "isolated",
    "judge_raters",
    "judged_findings",
    "label_measures",
    "load_policy",
    "make_certificate",
    "make_manifest",
    "rater_measures",
    "rater_runs",
    "slice_measures",
    "study_measures",
    "to_github",
    "to_junit",
    "with_counts",
    "withheld_findings",
]
