"""How a picture may be made from a slice, in numpy's own words: an oracle."""

import numpy as np

TURNS = {
    "identity": lambda a: a,
    "rot90": np.rot90,
    "rot180": lambda a: np.rot90(a, 2),
    "rot270": lambda a: np.rot90(a, -1),
    "flipud": np.flipud,
    "fliplr": np.fliplr,
    "transpose": np.transpose,
    "transverse": lambda a: np.flip(a.T),
}
