"""One box from many.

`fuse` takes a matched study to the table ``consensus`` by a `Method` that is registered as an
entry point of the group ``crowdqc.fusion``; ``edges``, the model of `crowdqc.crowd`, is the
default. `staple_boxes` and `staple_masks` are STAPLE as published, on arrays.
"""

from crowdqc.fusion.ask import ask, forecast
from crowdqc.fusion.members import with_members
from crowdqc.fusion.methods import Fused, Method
from crowdqc.fusion.settled import REVIEW, in_force
from crowdqc.fusion.staple import Prior, Staple, staple_boxes, staple_labels, staple_masks
from crowdqc.fusion.stop import Stopping, budget, stopping
from crowdqc.fusion.table import ConsensusRule, decide, fuse, load_method

__all__ = [
    "REVIEW",
    "ConsensusRule",
    "Fused",
    "Method",
    "Prior",
    "Staple",
    "Stopping",
    "ask",
    "budget",
    "decide",
    "forecast",
    "fuse",
    "in_force",
    "load_method",
    "staple_boxes",
    "staple_labels",
    "staple_masks",
    "stopping",
    "with_members",
]
