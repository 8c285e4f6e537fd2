"""What the page shows of a study: boxes of a slice, its pixels, masks, and hashes of all that."""

from __future__ import annotations

import io
import math
import threading
from collections import defaultdict
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from crowdqc.config import Config
from crowdqc.decisions import box_inputs, mask_inputs
from crowdqc.report import VolumeSlices, judged_region, outline, uncertainty_colours
from crowdqc.schema import BOX, SPREAD, natural_order
from crowdqc.store import Store

_VIEWS = {"across": 1, "along": 2}
"""Other planes: the axis of the stack (plane, row, column) that stays where it is."""
_BYTES = 2_000_000_000
"""Grey values of volumes that are kept in memory, so that going from case to case does not wait."""
_KEPT = 64
"""Pictures that are kept, as PNG: going back a few slices costs nothing."""


class StudyView:
    """One study, read once; boxes while the page opens.

    Parameters
    ----------
    store : Store
        The folder of results.
    config : Config
        The study file.
    blind : bool
        Whether raters are called 1, 2 and so on.
    """

    def __init__(self, store: Store, config: Config, *, blind: bool = False) -> None:
        self.config = config
        self.images = store.read("images")
        self.consensus = store.read("consensus")
        self.cases = natural_order(self.images["case"].unique())
        self._number = {case: number for number, case in enumerate(self.cases)}
        largest = self.images.groupby("case").size().max() * self._pixels()
        kept = int(np.clip(_BYTES // max(largest, 1), 2, len(self.cases) + 1))
        self._files = VolumeSlices(store, config, self.images, volumes=kept)
        self._reading = threading.Lock()
        self._volume_of: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._store, self._blind = store, blind
        self._boxes: dict[str, pd.DataFrame] | None = None
        self._fused = dict(iter(self.consensus.groupby("case", sort=False)))
        self._sizes = dict(iter(self.images.groupby("case", sort=False)))
        self.picture = lru_cache(maxsize=_KEPT)(self._picture)
        self.plane = lru_cache(maxsize=_KEPT)(self._plane)
        self.uncertainty = lru_cache(maxsize=_KEPT)(self._uncertainty)

    def _pixels(self) -> int:
        return int((self.images["height"] * self.images["width"]).max())

    @property
    def labels(self) -> list[str]:
        """Names of all labels, in the order of the study file."""
        return list(self.config.label_names)

    @property
    def raters(self) -> list[str]:
        """Raters in natural order; the order of their colours."""
        self.boxes_of("")
        return self._raters

    def boxes_of(self, case: str) -> pd.DataFrame:
        """Boxes of a case; the table is read when it is first asked for."""
        with self._reading:
            if self._boxes is None:
                boxes = self._store.read("boxes")
                self._raters = natural_order(boxes["rater"].unique())
                self._boxes = dict(iter(boxes.groupby("case", sort=False)))
                self._none = boxes.iloc[:0]
        return self._boxes.get(case, self._none)

    def shown_name(self, number: int) -> str:
        """What a rater is called on the page."""
        return f"rater {number + 1}" if self._blind else self.raters[number]

    def number(self, case: str) -> int:
        """Number of a case, by which the page calls it."""
        return self._number[case]

    def slice(self, case: str, k: int) -> dict[str, Any]:
        """What lies on a slice: size, boxes, fused boxes and outlines of masks."""
        sizes = self._sizes[case]
        own = sizes[sizes["slice"] == k]
        row = (own if len(own) else sizes).iloc[0]
        tall = row["spacing_y"] / row["spacing_x"] if row["spacing_x"] > 0 else 1.0
        boxes, fused = self.boxes_of(case), self._fused.get(case, self.consensus.iloc[:0])
        boxes, fused = boxes[boxes["slice"] == k], fused[fused["slice"] == k]
        return {
            "case": self.number(case),
            "slice": k,
            "width": int(row["width"]),
            "height": int(row["height"]),
            "tall": float(tall) if math.isfinite(tall) else 1.0,
            "picture": bool(len(own) and own["path"].iloc[0]),
            "uncertain": self._files.has_uncertainty(case),
            "boxes": [
                {"rater": self.raters.index(rater), "label": label, "box": box}
                for rater, label, *box in _rows(boxes, ["rater", "label", *BOX])
            ],
            "fused": [
                {"label": label, "state": state, "box": row[:4], "spread": row[4:]}
                for label, state, *row in _rows(fused, ["label", "state", *BOX, *SPREAD])
                if row[0] is not None
            ],
        }

    def outlines(self, case: str, k: int, label: str) -> dict[str, Any]:
        """Outline of a mask as an SVG path, and its hash; empty where there is no mask."""
        with self._volume_of[case]:
            mask = self._files.mask(case, k, label)
        if mask is None:
            return {"outline": "", "inputs": ""}
        return {"outline": outline(mask), "inputs": mask_inputs(mask)}

    def mask_hash(self, case: str, k: int, label: str) -> str:
        """Hash of a mask; empty where there is none."""
        inputs: str = self.outlines(case, k, label)["inputs"] if case in self._number else ""
        return inputs

    def run(self, case: str, label: str) -> list[list[float | None]]:
        """Slice and box of the fused boxes of a label along a case: its course in other planes."""
        fused = self._fused.get(case, self.consensus.iloc[:0])
        own = fused[(fused["label"] == label) & (fused["state"] != "no_consensus")]
        return _rows(own.dropna(subset=BOX), ["slice", *BOX])

    def extent(self, case: str) -> tuple[int, int]:
        """First and last slice of a case."""
        slices = self._sizes[case]["slice"]
        return int(slices.min()), int(slices.max())

    def is_volume(self, case: str) -> bool:
        """Whether a case can be shown in other planes."""
        path = str(self._sizes[case]["path"].iloc[0])
        return (
            bool(path) and len(self._sizes[case]) > 1 and len(set(self._sizes[case]["path"])) == 1
        )

    def inputs(self, case: str, k: int, label: str) -> str:
        """Hash of the boxes at a place."""
        boxes = self.boxes_of(case)
        here = boxes[(boxes["slice"] == k) & (boxes["label"] == label)]
        return box_inputs(here, iou=self.config.match.iou)

    def place(self, case: str, k: int, label: str) -> pd.DataFrame:
        """Fused boxes at a place, in the order of their numbers."""
        fused = self._fused.get(case, self.consensus.iloc[:0])
        return fused[(fused["slice"] == k) & (fused["label"] == label)]

    def _picture(self, case: str, k: int) -> bytes | None:
        """A slice as PNG; `None` where there is none."""
        with self._volume_of[case]:
            grey = self._files.grey(case, k)
        return None if grey is None else _png(grey)

    def _uncertainty(self, case: str, k: int, label: str) -> bytes | None:
        """Uncertainty near the fused boxes of a label on a slice, as PNG; `None` without any."""
        with self._volume_of[case]:
            level = self._files.uncertainty(case, k)
        if level is None:
            return None
        boxed = self.place(case, k, label).dropna(subset=BOX)
        boxed = boxed[boxed["state"] != "no_consensus"]
        return _png(uncertainty_colours(np.where(judged_region(level.shape, boxed), level, 0.0)))

    def _plane(self, case: str, view: str, at: int) -> bytes | None:
        """Another plane through a volume as PNG, the slices from top to bottom."""
        if view not in _VIEWS or not self.is_volume(case):
            return None
        first, last = self.extent(case)
        with self._volume_of[case]:
            stack = self._files.volume(case, first)
        if stack is None or not 0 <= at < stack.shape[_VIEWS[view]]:
            return None
        return _png(np.take(stack, at, axis=_VIEWS[view])[: last + 1])


def _rows(frame: pd.DataFrame, columns: list[str]) -> list[list[Any]]:
    """Rows as plain values; a number that is not known is `None`."""
    values = [frame[name].tolist() for name in columns]
    plain = [[None if v != v else v for v in column] for column in values]  # noqa: PLR0124 - nan
    return [list(row) for row in zip(*plain, strict=True)]


def _png(grey: NDArray[np.uint8]) -> bytes:
    data = io.BytesIO()
    Image.fromarray(grey).save(data, "png", compress_level=1)
    return data.getvalue()
