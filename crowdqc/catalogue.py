"""What each stage of a study is: declared once, in ``stages.toml``, for CLI, pipeline and report.

Help is made from it, so this module imports nothing heavy.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

__all__ = ["EXPORTS", "STAGES", "StageInfo"]


@dataclass(frozen=True, kw_only=True)
class StageInfo:
    """A stage that a study goes through."""

    name: str
    """Its name."""
    command: str
    """Name of its command: the same unless declared."""
    does: str
    """What it does, in one sentence."""
    heading: str
    """Heading of what it shows on a terminal."""
    table: str = ""
    """File in the folder of results that shows that it has run, without its ending."""
    needs: tuple[str, ...] = ()
    """Stages that must be done before."""
    sections: tuple[str, ...] = ()
    """Sections of the study file on which its result depends."""
    after: str = ""
    """What comes next; `STUDY` stands for the study file."""
    remedy: str = ""
    """What comes next where it found something to correct."""

    @property
    def title(self) -> str:
        """What it does, without a full stop."""
        return self.does.rstrip(".")


def _stage(name: str, keys: dict[str, Any]) -> StageInfo:
    lists = {key: tuple(value) for key, value in keys.items() if isinstance(value, list)}
    return StageInfo(**{"name": name, "command": name, **keys, **lists})


_TEXT = resources.files("crowdqc").joinpath("stages.toml").read_text("utf-8")
STAGES = {name: _stage(name, keys) for name, keys in tomllib.loads(_TEXT).items()}
"""Name of a stage -> what it is, in the order in which a study goes through them."""

EXPORTS = {
    "bids": "derivatives of BIDS: masks and their uncertainty, with sidecars",
    "croissant": "tables of boxes, raters and verdicts, described in Croissant 1.1 with RAI",
    "dicom-seg": "a DICOM Segmentation for each case, of labels",
    "dicom-seg-fractional": "a DICOM Segmentation for each case, of probabilities",
    "fiftyone": "COCO files for FiftyOne, one for each rater and one for the fused boxes",
    "nrrd": "segmentations for 3D Slicer",
}
"""Target of `crowdqc export` -> what is written."""
