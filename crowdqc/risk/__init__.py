"""Mask risk: how likely each mask is wrong, from what is at hand without truth."""

from crowdqc.risk.calibration import Calibration, calibrate, cross_validate
from crowdqc.risk.table import MaskSet, assess_risk
from crowdqc.risk.votes import DiceVotes, paired_dice

__all__ = [
    "Calibration",
    "DiceVotes",
    "MaskSet",
    "assess_risk",
    "calibrate",
    "cross_validate",
    "paired_dice",
]
