"""Mask risk: how likely each mask is wrong, from what is at hand without truth."""

from crowdqc.risk.calibration import Calibration, calibrate, cross_validate
from crowdqc.risk.interval import dice_interval
from crowdqc.risk.runs import MaskSet, Pictures
from crowdqc.risk.scale import STATED, STATED_BOXES, Scale, fit_scale
from crowdqc.risk.table import assess_risk, case_signals
from crowdqc.risk.votes import DiceVotes, paired_dice

__all__ = [
    "STATED",
    "STATED_BOXES",
    "Calibration",
    "DiceVotes",
    "MaskSet",
    "Pictures",
    "Scale",
    "assess_risk",
    "calibrate",
    "case_signals",
    "cross_validate",
    "dice_interval",
    "fit_scale",
    "paired_dice",
]
