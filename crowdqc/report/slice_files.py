"""Slices as the raters saw them: pixels from the study's images, masks from the results.

Readers of volumes are imported where a slice is read: commands that may show none start without.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageOps

from crowdqc.config import Config, Window
from crowdqc.files import is_volume, opened
from crowdqc.findings import InputError
from crowdqc.store import Store

ENTROPY_MAX = math.log(2)
"""Entropy of a yes or no of which nothing is known, in nats: the unit of uncertainty volumes."""


class VolumeSlices:
    """Slices from files; what cannot be read is listed in `problems`, and not shown.

    Parameters
    ----------
    store : Store
        Folder of results, with ``masks/`` where masks were drawn.
    config : Config
        Study file: how a picture was made from a volume, the window, values of labels.
    images : DataFrame
        The table `images`: its `path` is relative to the folder of the study file.
    volumes : int
        How many volumes are kept. One is enough where pictures are asked for case by case.
    """

    def __init__(
        self, store: Store, config: Config, images: pd.DataFrame, *, volumes: int = 1
    ) -> None:
        from crowdqc.volumes import read_labels, read_volume

        self.problems: list[str] = []
        self._store = store
        self._config = config
        self._values = config.label_values
        known = images[images["path"] != ""]
        self._paths = {(row.case, row.slice): row.path for row in known.itertuples()}
        self._volume = lru_cache(maxsize=volumes)(self._read_volume)
        self._labels = lru_cache(maxsize=volumes)(partial(self._read_drawn, read_labels))
        self._uncertainty = lru_cache(maxsize=volumes)(partial(self._read_drawn, read_volume))

    def grey(self, case: str, k: int) -> NDArray[np.uint8] | None:
        """Slice `k` of a case as grey values, shape (rows, columns)."""
        name = self._paths.get((case, k))
        if name is None:
            return None
        path = self._config.file.parent / name
        if _is_volume(path):
            return _plane(self._volume(path), k)
        return self._picture(path)

    def volume(self, case: str, k: int) -> NDArray[np.uint8] | None:
        """All slices of the volume that slice `k` is of, shape (plane, rows, columns)."""
        name = self._paths.get((case, k))
        path = self._config.file.parent / name if name else Path()
        return self._volume(path) if name and _is_volume(path) else None

    def mask(self, case: str, k: int, label: str) -> NDArray[np.bool_] | None:
        """Mask of a label on the slice, shape (rows, columns)."""
        labels = _plane(self._labels(self._store.path("masks") / f"{case}.nii.gz"), k)
        return (
            None if labels is None or label not in self._values else labels == self._values[label]
        )

    def uncertainty(self, case: str, k: int) -> NDArray[np.float64] | None:
        """Entropy of the masks on the slice as a share of the largest, shape (rows, columns)."""
        plane = _plane(self._uncertainty(self._uncertainty_file(case)), k)
        return None if plane is None else np.clip(plane / ENTROPY_MAX, 0.0, 1.0)

    def has_uncertainty(self, case: str) -> bool:
        """Whether masks of the case have an uncertainty; it is not read."""
        return self._uncertainty_file(case).is_file()

    def _uncertainty_file(self, case: str) -> Path:
        return self._store.path("masks") / f"{case}.uncertainty.nii.gz"

    def _read_volume(self, path: Path) -> NDArray[np.uint8] | None:
        from crowdqc.volumes import read_volume, to_grey

        read = partial(read_volume, resample=self._config.images.resample)
        stack = self._stack(read, path)
        return None if stack is None else to_grey(stack, self._config.images.window)

    def _read_drawn(self, read: Callable[..., Any], path: Path) -> NDArray[Any] | None:
        """A volume of the results as pictures; what was not drawn is no problem."""
        return self._stack(read, path) if path.is_file() else None

    def _stack(self, read: Callable[..., Any], path: Path) -> NDArray[Any] | None:
        """A volume as pictures, by one of the readers of `crowdqc.volumes`."""
        from crowdqc.volumes import to_pictures

        images = self._config.images
        try:
            return to_pictures(read(path, plane=images.plane)[0], images.picture)
        except InputError as error:
            self._tell(error)
            return None

    def _picture(self, path: Path) -> NDArray[np.uint8] | None:
        from crowdqc.volumes import to_grey

        try:
            with opened(path) as file, Image.open(file) as picture:
                shown = ImageOps.exif_transpose(picture)
                if shown.mode.startswith(("I", "F")):  # more than 256 values: Pillow cuts them off
                    return to_grey(np.asarray(shown), Window(percentiles=(0.0, 100.0)))
                return np.asarray(shown.convert("L"))
        except Exception as error:  # noqa: BLE001 - a broken file makes Pillow raise anything
            self._tell(InputError(f"{path}: cannot be read as a picture: {error}."))
            return None

    def _tell(self, error: InputError) -> None:
        if str(error) not in self.problems:
            self.problems.append(str(error))


def _is_volume(path: Path) -> bool:
    return is_volume(path.name) or path.is_dir()


def _plane(stack: NDArray[Any] | None, k: int) -> NDArray[Any] | None:
    """Plane `k` of a stack; `None` where there is none."""
    return None if stack is None or not 0 <= k < len(stack) else stack[k]
