"""Whether two volumes lie on one grid."""

from __future__ import annotations

import numpy as np

from crowdqc.volumes import Geometry

TOLERANCE_MM = 1e-4
"""Largest difference of two affine matrices that counts as the same grid."""


def grid_mismatch(a: Geometry, b: Geometry) -> str:
    """How two volumes differ in shape or affine; the empty text where they share a grid.

    Examples
    --------
    >>> a, b = Geometry((2, 2, 2), np.eye(4)), Geometry((2, 2, 2), np.diag([1, 1, 3, 1]))
    >>> grid_mismatch(a, a), grid_mismatch(a, b)
    ('', 'their affine matrices differ by 2 (at most 0.0001 mm)')
    """
    if a.shape != b.shape:
        return f"their shapes are {a.shape} and {b.shape}"
    off = float(np.abs(a.affine - b.affine).max())
    if off > TOLERANCE_MM:
        return f"their affine matrices differ by {off:.4g} (at most {TOLERANCE_MM} mm)"
    return ""
