"""Raters with known faults, drawn from true masks, and a synthetic abdomen to draw on."""

from crowdqc.simulate.abdomen import Abdomen, make_abdomen
from crowdqc.simulate.boxes import label_boxes, paper_boxes, tight_boxes
from crowdqc.simulate.faults import Drawing, draw
from crowdqc.simulate.raters import simulate_study, true_drawing

__all__ = [
    "Abdomen",
    "Drawing",
    "draw",
    "label_boxes",
    "make_abdomen",
    "paper_boxes",
    "simulate_study",
    "tight_boxes",
    "true_drawing",
]
