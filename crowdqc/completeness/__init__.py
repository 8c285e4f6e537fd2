"""Completeness: what is missing, what is in the wrong place, and what must be redrawn."""

from crowdqc import make_callable
from crowdqc.completeness.assess import assess
from crowdqc.completeness.settings import Orientation, Settings
from crowdqc.completeness.worklist import todo

__all__ = ["Orientation", "Settings", "assess", "todo"]

make_callable(__name__, assess)
