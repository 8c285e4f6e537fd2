"""One box from many.

`fuse` takes a matched study to the table ``consensus`` by one of `METHODS`; ``edges``, the
model of `crowdqc.crowd`, is the one to use. `staple_boxes` and `staple_masks` are STAPLE as
published, on arrays.
"""

from crowdqc.fusion.ask import ask
from crowdqc.fusion.members import with_members
from crowdqc.fusion.staple import Prior, Staple, staple_boxes, staple_labels, staple_masks
from crowdqc.fusion.table import METHODS, fuse

__all__ = [
    "METHODS",
    "Prior",
    "Staple",
    "ask",
    "fuse",
    "staple_boxes",
    "staple_labels",
    "staple_masks",
    "with_members",
]
