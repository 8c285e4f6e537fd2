"""Size and place of each organ of each case, as numbers that can be compared between cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from crowdqc.matching import Matched
from crowdqc.schema import BOX
from crowdqc.text import names_cell


@dataclass(frozen=True)
class Trait:
    """A number that describes an organ: what it is, and whether it is held as a logarithm."""

    what: str
    log: bool

    def shown(self, value: float) -> float:
        """A value in mm."""
        return float(np.exp(value)) if self.log else float(value)


TRAITS = {
    "width": Trait("greatest width", log=True),
    "height": Trait("greatest height", log=True),
    "length": Trait("extent along the slices", log=True),
    "x": Trait("distance from the middle of the picture to the right", log=False),
    "y": Trait("distance from the middle of the picture downwards", log=False),
}


def measure_traits(matched: Matched, boxes: pd.DataFrame) -> pd.DataFrame:
    """Size and place of each organ of each case, the median over raters.

    Parameters
    ----------
    matched : Matched
        Has the images.
    boxes : DataFrame
        Boxes of it, in px.

    Returns
    -------
    DataFrame
        Case, label, `TRAITS` in mm (or their logarithm; nan without a spacing) and raters.
    """
    images = matched.study.images.groupby("case", sort=False).first()
    own = images.loc[boxes["case"], ["spacing_x", "spacing_y", "spacing_z", "width", "height"]]
    own = own.to_numpy(np.float64)
    edges = boxes[BOX].to_numpy(np.float64)
    frame = boxes[["case", "label", "rater"]].assign(
        width=(edges[:, 2] - edges[:, 0]) * own[:, 0],
        height=(edges[:, 3] - edges[:, 1]) * own[:, 1],
        x=((edges[:, 0] + edges[:, 2]) / 2 - own[:, 3] / 2) * own[:, 0],
        y=((edges[:, 1] + edges[:, 3]) / 2 - own[:, 4] / 2) * own[:, 1],
        z=boxes["slice"] * own[:, 2],
        step=own[:, 2],
    )
    runs = frame.groupby(["case", "label", "rater"], sort=True).agg(
        width=("width", "max"),
        height=("height", "max"),
        x=("x", "median"),
        y=("y", "median"),
        first=("z", "min"),
        last=("z", "max"),
        step=("step", "first"),
    )
    runs["length"] = runs["last"] - runs["first"] + runs["step"]
    organs = runs.reset_index().groupby(["case", "label"], sort=True)
    traits = organs[list(TRAITS)].median()
    for name, trait in TRAITS.items():
        traits[name] = np.log(traits[name]) if trait.log else traits[name]
    return traits.assign(raters=organs["rater"].agg(names_cell)).reset_index()
