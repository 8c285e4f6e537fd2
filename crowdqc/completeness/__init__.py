"""Completeness: what is missing, what is in the wrong place, and what must be redrawn."""

from crowdqc.completeness.runs import Settings, assess

__all__ = ["Settings", "assess"]
