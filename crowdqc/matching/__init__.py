"""Which boxes of different raters are the same object: `Study` in, `Matched` out.

Boxes that overlap by more than a threshold pull together, no object holds two boxes of one
rater, and what is best is found exactly where that is possible: see `crowdqc.matching.kernel`.

Of a label that a slice holds once (an organ) all raters drew the same object, wherever they
drew it: two raters whose boxes lie apart disagree about one organ. A rater's second box there
is an object of its own. Whether the boxes of an object agree well enough to be fused is for
`crowdqc.fusion` to say.
"""

from crowdqc.matching.kernel import linked_pairs, match_boxes
from crowdqc.matching.table import Matched, match

__all__ = ["Matched", "linked_pairs", "match", "match_boxes"]
