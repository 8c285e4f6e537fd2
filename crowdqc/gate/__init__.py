"""The gate: a policy (data) and measures (numbers) in, verdicts and the manifest out."""

from crowdqc.gate.decide import Decision, Judged, decide
from crowdqc.gate.manifest import Manifest, make_manifest
from crowdqc.gate.measures import case_measures, label_measures, rater_measures
from crowdqc.gate.policy import Policy, Rule, load_policy

__all__ = [
    "Decision",
    "Judged",
    "Manifest",
    "Policy",
    "Rule",
    "case_measures",
    "decide",
    "label_measures",
    "load_policy",
    "make_manifest",
    "rater_measures",
]
