"""What experts decided: the table ``decisions.csv`` beside the study file, read, written, applied.

A row is one decision of one reviewer on one fused box or one mask. Rows are only ever added; the
last one counts, and `undo` is a row. Whoever writes it (the page of ``crowdqc review``, a
spreadsheet, another program), the rules are those of `crowdqc.decisions.rows`.
"""

from crowdqc.decisions.file import (
    FILE,
    FileChangedError,
    append_decisions,
    decisions_file,
    hash_of_box_rows,
    read_decisions,
)
from crowdqc.decisions.hashes import box_inputs, mask_inputs
from crowdqc.decisions.rows import BOX_DECISIONS, GRADES, MASK_DECISIONS, REAL, UNREAL
from crowdqc.decisions.standing import (
    graded_boxes,
    reviewer_agreement,
    settled_boxes,
    settled_masks,
    standing,
)

__all__ = [
    "BOX_DECISIONS",
    "FILE",
    "GRADES",
    "MASK_DECISIONS",
    "REAL",
    "UNREAL",
    "FileChangedError",
    "append_decisions",
    "box_inputs",
    "decisions_file",
    "graded_boxes",
    "hash_of_box_rows",
    "mask_inputs",
    "read_decisions",
    "reviewer_agreement",
    "settled_boxes",
    "settled_masks",
    "standing",
]
