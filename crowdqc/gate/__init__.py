"""The gate: a policy (data) and measures (numbers) in, verdicts and the manifest out."""

from crowdqc.gate.decide import Decision, decide, study_measures
from crowdqc.gate.explain import changes, explain
from crowdqc.gate.formats import to_github, to_junit
from crowdqc.gate.manifest import Manifest, make_manifest
from crowdqc.gate.measures import (
    USABLE,
    box_measures,
    case_measures,
    judged_findings,
    label_measures,
    rater_measures,
    rater_runs,
    slice_measures,
)
from crowdqc.policy import Judged, Policy, Rule, load_policy

__all__ = [
    "USABLE",
    "Decision",
    "Judged",
    "Manifest",
    "Policy",
    "Rule",
    "box_measures",
    "case_measures",
    "changes",
    "decide",
    "explain",
    "judged_findings",
    "label_measures",
    "load_policy",
    "make_manifest",
    "rater_measures",
    "rater_runs",
    "slice_measures",
    "study_measures",
    "to_github",
    "to_junit",
]
