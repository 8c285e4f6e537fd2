"""Whether what raters drew together tells their variances apart."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh

from crowdqc.arrays import Floats, Ints

_ENOUGH = 0.1
"""Distance of the smallest eigenvalue from -1 from which pairs tell variances apart."""
_DENSE = 300
"""Raters up to which the eigenvalues are those of a dense matrix."""


def unresolved(first: Ints, second: Ints, weight: Floats, *, drawn: Floats) -> Floats:
    """How far objects with two voices leave open whose of the raters' variances is which.

    Of a pair only the sum of its variances is seen. Where raters draw with one another in odd
    rings, the sums say what belongs to whom; where all pairs go from one side to another, as of one
    who reads all cases and others one each, a variance may be moved from one side to the other and
    no sum changes. That is how near the smallest eigenvalue of the matrix of pairs, over what
    raters drew, comes to -1: to a graph of two sides [1]_.

    Parameters
    ----------
    first, second : ndarray of int64, shape (P,)
        Raters of each two boxes of an object with two voices, if these are not one voice.
    weight : ndarray, shape (P,)
        Product of their voices.
    drawn : ndarray, shape (R,)
        Voices of all boxes that each rater drew and another one, too.

    Returns
    -------
    ndarray, shape (R,)
        From 0, where they are told apart, to 1, where not at all; 0 for raters without such an
        object.

    References
    ----------
    .. [1] M. Desai, V. Rao, "A characterization of the smallest eigenvalue of a graph", Journal of
       Graph Theory 18(2), 1994. :doi:`10.1002/jgt.3190180210`
    """
    n = len(drawn)
    found = np.zeros(n)
    if not len(first):
        return found
    scale = np.maximum(drawn, 1e-9) ** -0.5
    pairs = sparse.coo_array((weight * scale[first] * scale[second], (first, second)), (n, n))
    pairs = (pairs + pairs.T).tocsr()
    _, part = connected_components(pairs, directed=False)
    order = np.argsort(part, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
        if len(rows) > 1:
            apart = 1 + _smallest_eigenvalue(pairs[rows][:, rows])
            found[rows] = np.clip(1 - apart / _ENOUGH, 0, 1)
    return found


def _smallest_eigenvalue(matrix: sparse.csr_array) -> float:
    if matrix.shape[0] <= _DENSE:
        return float(np.linalg.eigvalsh(matrix.toarray())[0])
    start = np.random.default_rng(0).standard_normal(matrix.shape[0])  # the same each time
    return float(eigsh(matrix, k=1, which="SA", v0=start, return_eigenvectors=False)[0])
