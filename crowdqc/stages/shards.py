"""Parts of a study that jobs work on side by side, and what each leaves for the merge."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from crowdqc.files import JSON_BYTES_MAX, Unreadable, read_json, sha256
from crowdqc.findings import InputError
from crowdqc.risk import case_signals
from crowdqc.stages.base import Run
from crowdqc.stages.images import has_volumes, image_files
from crowdqc.text import count
from crowdqc.trust import is_sealed, seal
from crowdqc.volumes import hash_volume
from crowdqc.writing import atomic

PARTS = "risk_parts"
"""Folder of what was measured of the masks of each case."""
PARTS_VERSION = 2
"""Raised when the same masks give other signals."""
SHOWN = 5
"""Cases that are named where something is missing."""

MaskFiles = Sequence[Mapping[str, Path]]
"""For each set of masks, case -> its file."""


def shard_cases(prompts: pd.DataFrame, shard: tuple[int, int]) -> list[str]:
    """Cases of one part, which has about as many slices as each of the others.

    Parameters
    ----------
    prompts : DataFrame
        Boxes of all cases, of which ``case`` and ``slice`` are read.
    shard : tuple of int
        Number of the part, from 1, and how many parts there are.

    Returns
    -------
    list of str
        Each case is in exactly one part.

    Examples
    --------
    >>> boxes = pd.DataFrame({"case": list("aaabbc"), "slice": [0, 1, 2, 0, 1, 0]})
    >>> shard_cases(boxes, (1, 2)), shard_cases(boxes, (2, 2))
    (['a'], ['b', 'c'])
    """
    number, n = shard
    slices = prompts.drop_duplicates(["case", "slice"]).groupby("case").size()
    load = [0] * n
    parts: list[list[str]] = [[] for _ in range(n)]
    for case, size in slices.sort_values(ascending=False, kind="stable").items():
        least = load.index(min(load))
        parts[least].append(str(case))
        load[least] += size
    return parts[number - 1]


class RiskParts:
    """What was measured of the masks of each case, kept in files of their own.

    A part counts only while it names the same masks and boxes as now and this user wrote it, so
    that it may be written by any job, and again, without harm.

    Parameters
    ----------
    run : Run
        The study.
    prompts : DataFrame
        Table ``consensus``: the boxes that the masks come from.
    files : sequence of mapping
        For each set of masks, case -> its file.
    inputs : mapping
        ``sets``, ``images`` and ``pictures`` as `crowdqc.risk.assess_risk` takes them.
    """

    def __init__(
        self, run: Run, prompts: pd.DataFrame, *, files: MaskFiles, inputs: Mapping[str, Any]
    ) -> None:
        self._run, self._prompts, self._files, self._inputs = run, prompts, files, inputs
        self._pictures = image_files(run.config) if has_volumes(run.config) else {}

    def read(self, case: str) -> pd.DataFrame | None:
        """Signals of a case; `None` where they are not there, or of other masks."""
        path = self._path(case)
        try:
            part = read_json(path, JSON_BYTES_MAX)
            if part["signature"] != self._signature(case) or not is_sealed(path):
                return None
            return pd.DataFrame(part["signals"]).astype(part["types"])
        except (Unreadable, InputError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def measure(self, case: str) -> pd.DataFrame:
        """Signals of a case, from its part or from its masks, which writes the part."""
        table = self.read(case)
        if table is not None:
            return table
        labels = self._run.config.label_values
        table = case_signals(case, self._prompts, labels=labels, **self._inputs)
        types = {name: str(kind) for name, kind in table.dtypes.items()}
        part = {
            "signature": self._signature(case),
            "types": types,
            "signals": table.to_dict(orient="list"),
        }
        path = self._path(case)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(part, indent=1) + "\n", encoding="utf-8")
        seal(path)
        return table

    def known(self, *, whole: bool) -> dict[str, pd.DataFrame]:
        """Case -> signals, of the cases whose parts are there.

        Raises
        ------
        InputError
            If `whole` and a part is missing.
        """
        cases = list(self._prompts["case"].unique())
        if not whole and not self._run.store.path(PARTS).is_dir():
            return {}
        found = {case: table for case in cases if (table := self.read(case)) is not None}
        left = [case for case in cases if case not in found]
        if whole and left:
            more = " ..." if len(left) > SHOWN else ""
            raise InputError(
                f"{self._run.store.folder}: masks of {count(len(left), 'case')} are not measured, "
                f"or have changed since: {', '.join(left[:SHOWN])}{more}. Run the shards that are "
                "missing, or measure all here: crowdqc risk."
            )
        return found

    def _path(self, case: str) -> Path:
        return self._run.store.path(PARTS) / f"{case}.json"

    def _signature(self, case: str) -> str:
        config = self._run.config
        own = self._prompts[self._prompts["case"] == case]
        images = self._inputs["images"]
        images = images[images["case"] == case]
        inputs = {
            "version": PARTS_VERSION,
            "boxes": own.to_csv(index=False),
            "images": images.drop(columns="path").to_csv(index=False),
            "masks": [case in one and sha256(one[case]) for one in self._files],
            "labels": config.label_values,
            "pictures": case in self._pictures and hash_volume(self._pictures[case]),
            "view": config.images.model_dump(include={"plane", "picture", "resample", "window"}),
        }
        text = json.dumps(inputs, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
