"""Paired comparison of two sets of scores: filtered and unfiltered, SAM and expert.

Rows of two tables are paired by key columns, and every label (or numeric column) is compared
over the pairs. The tests are those of Kulkarni et al. 2024 (arXiv:2403.15218) and what a
reviewer asks beside them: a correction for many labels, the size of the effect, and the
smallest difference that so few cases could have shown.
"""

from crowdqc import make_callable
from crowdqc.compare.files import compare_files
from crowdqc.compare.paired import Paired, compare_paired
from crowdqc.compare.table import OVERALL, compare, compare_scores

__all__ = ["OVERALL", "Paired", "compare", "compare_files", "compare_paired", "compare_scores"]

make_callable(__name__, compare)
