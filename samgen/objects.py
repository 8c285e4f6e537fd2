"""The objects of one case that masks are drawn of, from its rows of the table ``consensus``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from crowdqc.fusion.members import COLUMN as MEMBERS
from crowdqc.fusion.members import POINTS, SCRIBBLES
from crowdqc.geometry import Boxes
from crowdqc.schema import BOX, INTERPOLATED, SPREAD
from samgen.predictor import Prompts
from samgen.prompts import Shape, make_prompts, prompt_rng
from samgen.settings import MaskSettings, Noise
from samgen.volume_predictor import Edges, ObjectPrompts

Empty = Mapping[str, frozenset[int]]
"""Label -> slices that were read and on which nobody drew it."""


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How prompts are made in one case.

    Parameters
    ----------
    case : str
    shape : tuple of int
        Rows and columns of its pictures.
    settings : MaskSettings
    noise : str
        Law of the model's training boxes.
    """

    case: str
    shape: Shape
    settings: MaskSettings
    noise: Noise

    def prompts_of(self, table: pd.DataFrame) -> Iterator[Prompts]:
        """The prompts of each row, in order."""
        nth = table.groupby(["slice", "label"]).cumcount()
        for row, n in zip(table.to_dict("records"), nth, strict=True):
            # Objects of one label on one slice must not stray in step.
            label = f"{row['label']}#{n}" if n else row["label"]
            made = make_prompts(
                [row[edge] for edge in BOX],
                raters=row.get(MEMBERS, ()),
                spread=[row[edge] for edge in SPREAD],
                shape=self.shape,
                rng=prompt_rng(self.settings.seed, case=self.case, slice=row["slice"], label=label),
                settings=self.settings.prompts,
                noise=self.noise,
            )
            points = np.reshape(np.asarray(row.get(POINTS, ()), np.float64), (-1, 3))
            lines = tuple(np.array(line, np.float64) for line in row.get(SCRIBBLES, ()))
            yield replace(made, label=row["label"], points=points, scribbles=lines)

    def again(self, label: str) -> Callable[[int, Edges, Edges], Prompts]:
        """What makes prompts of a label on a slice from another box than its own."""

        def ask(k: int, box: Edges, spread: Edges) -> Prompts:
            made = make_prompts(
                box,
                spread=spread,
                shape=self.shape,
                rng=prompt_rng(self.settings.seed, case=self.case, slice=k, label=f"{label}#again"),
                settings=self.settings.prompts,
                noise=self.noise,
            )
            return replace(made, label=label)

        return ask


def objects_of(
    table: pd.DataFrame, prompts: Sequence[Prompts], asking: Asking, *, empty: Empty
) -> list[tuple[list[int], ObjectPrompts]]:
    """The objects of a case, with the rows that each is made of.

    Parameters
    ----------
    table : DataFrame
        Rows of the table ``consensus`` of one case, ordered by slice and label; its index are
        places in `prompts`.
    prompts : sequence of Prompts
    asking : Asking
    empty : Mapping
        Label -> slices known to be without it.

    Returns
    -------
    list of (list of int, ObjectPrompts)
        A label is one object on all its slices; where a slice holds several of it, each of its
        boxes is an object. The objects of every slice are in the order of its rows.
    """
    found = []
    for label in dict.fromkeys(table["label"]):
        rows = table.index[table["label"] == label].tolist()
        tracked = not table.loc[rows, "slice"].duplicated().any()
        for own in [rows] if tracked else [[row] for row in rows]:
            part = table.loc[own]
            one = ObjectPrompts(
                label=label,
                slices=tuple(part["slice"].tolist()),
                prompts=tuple(prompts[row] for row in own),
                spread=part[SPREAD].to_numpy(dtype=np.float64),
                raters=_raters(part),
                interpolated=(part["method"] == INTERPOLATED).to_numpy(),
                empty=empty.get(label, frozenset()),
                tracked=tracked,
                again=asking.again(label),
            )
            found.append((own, one))
    return found


def _raters(part: pd.DataFrame) -> tuple[Boxes, ...]:
    """The raters' boxes of each row, where they are known."""
    given = part[MEMBERS] if MEMBERS in part else [()] * len(part)
    return tuple(np.reshape(np.asarray(boxes, np.float64), (-1, 4)) for boxes in given)
