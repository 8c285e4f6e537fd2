"""Types of the arrays that kernels take and give; their shapes are in the docstrings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
"""Numbers of things: indices, counts, codes."""
Floats = NDArray[np.float64]
"""Measures; nan is what is not known."""
Bools = NDArray[np.bool_]
"""One answer for each row."""
