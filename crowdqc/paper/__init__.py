"""A paper's tables and claims, recomputed from the scores that its authors released.

`read_paper` reads what was published, `read_pairings` the scores; `measure` computes every number
of the tables, `judge` sets each published one beside ours, and `write_paper` makes the pages.
"""

from crowdqc.paper.file import PaperFile, Published, read_paper
from crowdqc.paper.page import write_paper
from crowdqc.paper.scores import Pairing, read_pairings
from crowdqc.paper.tables import judge, measure

__all__ = [
    "Pairing",
    "PaperFile",
    "Published",
    "judge",
    "measure",
    "read_pairings",
    "read_paper",
    "write_paper",
]
