"""Models that learn from the cases of a study whose truth is known.

`adapt_model` is the whole of it: cases are dealt by patient into those that are learned from and
those that are held out, the model goes along a path of candidates, and what it ends with is only
written where it beats what it began with on the held-out cases.
"""

from samgen.adapt.gold import GoldCase, deal_cases
from samgen.adapt.run import Outcome, Plan, adapt_model

__all__ = ["GoldCase", "Outcome", "Plan", "adapt_model", "deal_cases"]
