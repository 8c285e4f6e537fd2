"""The model of raters and objects that agreement and fusion share.

`fit` estimates together which of the drawn objects exist, where their edges are, and for each
rater how often it finds what is there, invents what is not, and how it places each edge.
"""

from crowdqc.crowd.confusion import Confusion, Given, dawid_skene
from crowdqc.crowd.edges import EdgeSettings, size_of
from crowdqc.crowd.evidence import Evidence, evidence
from crowdqc.crowd.existence import ExistenceSettings
from crowdqc.crowd.fit import Crowd, CrowdSettings, fit, fit_evidence
from crowdqc.crowd.gold import object_rows, with_gold, with_settled
from crowdqc.crowd.medians import median_boxes
from crowdqc.crowd.shown import without_shown

__all__ = [
    "Confusion",
    "Crowd",
    "CrowdSettings",
    "EdgeSettings",
    "Evidence",
    "ExistenceSettings",
    "Given",
    "dawid_skene",
    "evidence",
    "fit",
    "fit_evidence",
    "median_boxes",
    "object_rows",
    "size_of",
    "with_gold",
    "with_settled",
    "without_shown",
]
