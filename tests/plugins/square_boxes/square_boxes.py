"""An example of a check from another package: raters whose boxes are square to the pixel.

Who drags boxes with a modifier key held, or places a stamp, draws squares; organs are not square.
"""

from collections.abc import Mapping

import numpy as np

from crowdqc.agreement.rater_data import Fault, RaterData
from crowdqc.checks import Check, Measure
from crowdqc.findings import Severity

LIMIT = 0.5
"""Share of a rater's boxes that may be square."""


def square_share(data: RaterData) -> Mapping[str, np.ndarray]:
    """Share of each rater's boxes that are square; nan for a rater without boxes."""
    drawn, n = data.compared.drawn, len(data.people)
    width, height = (drawn.boxes[:, 2:] - drawn.boxes[:, :2]).T
    count = np.bincount(drawn.rater, minlength=n)
    square = np.bincount(drawn.rater, np.abs(width - height) < 1e-3, n)
    return {"square_share": np.divide(square, count, out=np.full(n, np.nan), where=count > 0)}


def find(data: RaterData) -> list[Fault]:
    """Raters who draw mostly squares, with places that show it."""
    share, drawn = square_share(data)["square_share"], data.compared.drawn
    return [
        Fault(
            rater=int(r),
            check="boxes-square",
            what=f"draws {share[r]:.0%} of the boxes as squares",
            value=float(share[r]),
            limit=LIMIT,
            unit="share of boxes",
            places=data.box_place[drawn.rater == r][:3],
        )
        for r in np.flatnonzero(share > LIMIT)
    ]


CHECK = Check(
    of="rater",
    find=find,
    findings={"boxes-square": Severity.REVIEW},
    measures=(Measure("square_share", "1", "share of the boxes that are square"),),
    measure=square_share,
)
