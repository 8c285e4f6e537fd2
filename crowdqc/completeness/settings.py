"""What counts as complete, and what is known of the patient's sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """When a run counts as truncated, or as not complete.

    Parameters
    ----------
    beyond : int
        Slices that the other raters must have drawn beyond an end: one more or less is a
        matter of taste, where an organ fades out.
    coverage : float
        Least share of the slices that the other raters expect; a run of only two raters who
        differ by a slice at each end of ten still passes.
    coverage_cases : float
        Least share of the slices that the other *cases* expect: patients differ, and half an
        organ is not one of the ways.
    length : float
        As `coverage_cases`, of the usual length of the other cases.
    cut_off : float
        As `length`, for a run that reaches the end of its volume, and where several raters agree.
    full : float
        Area of the last box, as a share of the run's median, from which it is the full size of
        the organ, unless the other cases end there, too. An ellipsoid of which a fifth is cut
        off ends at 0.8.
    taper : float
        A label ends abruptly only where this share of the median, or less, is usual for it;
        tubes end at full size always.
    spreads : float
        How many standard deviations of the other cases' ends an end may fall short.
    beyond_mm : float
        As `beyond`, in mm, for what the other cases say.
    beyond_slices : int
        The same where the distance of the slices is not known.
    shared : int
        Number of labels that end on one slice, against the odds: of many organs, some pairs do.
    wide : float
        Area of the last box, as a share of the run's median, from which at least half of the
        labels that end on one slice must be: where they merely meet by chance, they taper off.
    """

    beyond: int = 2
    coverage: float = 0.8
    coverage_cases: float = 0.5
    length: float = 0.5
    cut_off: float = 0.1
    full: float = 0.8
    taper: float = 0.7
    spreads: float = 4.0
    beyond_mm: float = 20.0
    beyond_slices: int = 7
    shared: int = 3
    wide: float = 0.6


@dataclass(frozen=True)
class Orientation:
    """What is known of the patient's sides.

    Parameters
    ----------
    sides : mapping of str to str
        Label -> ``"left"`` or ``"right"`` of the patient.
    x_axis : mapping of str to str
        Case -> direction of the patient into which columns of its pictures grow, ``"L"`` or
        ``"R"`` (`crowdqc.volumes.Geometry.picture_axes`); other cases are not judged.
    """

    sides: Mapping[str, str]
    x_axis: Mapping[str, str]
