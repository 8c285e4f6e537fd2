"""Reliability data that are published with their coefficients."""

import numpy as np

NAN = np.nan

FOUR = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)
"""K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: 4 observers,
12 units. The values that `test_alpha` expects are those that he gives."""
