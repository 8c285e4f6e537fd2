"""How many raters a slice needs, and how many slices a rater: from a study or a pilot.

Boxes are simulated from what the study's own raters do (each rater's biases, spread, misses and
inventions, how hard objects are, and the error that all share) and fused as the study will fuse
them, existence and all. What boxes do not tell, how much of what is there nobody draws, is an
interval.
"""

from crowdqc.plan.components import UNKNOWN, Components, Reading, estimate_components
from crowdqc.plan.raters import plan_raters, plan_slices, raters_needed

__all__ = [
    "UNKNOWN",
    "Components",
    "Reading",
    "estimate_components",
    "plan_raters",
    "plan_slices",
    "raters_needed",
]
