"""Sections of the study file that say what there is: study, labels, boxes, images and truth."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from crowdqc.config.toml import NAME, Section, registered

Picture = Literal[
    "identity", "rot90", "rot180", "rot270", "flipud", "fliplr", "transpose", "transverse"
]
"""The eight ways in which a picture may have been made from ``volume[:, :, k]``."""

Plane = Literal["stored", "axial", "coronal", "sagittal"]
"""Which slices of a volume are pictures: those of its third axis, or those of the patient."""

SIDE_MAX = 1_000_000
"""Largest side of an image, in px, that makes sense."""
Side = Annotated[int, Field(ge=1, le=SIDE_MAX)]
"""Rows or columns of an image."""

Millimetres = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=False)]
"""A length."""
Tolerance = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=False)]
"""A length that may be nothing, in mm."""


class StudySection(Section):
    """``[study]``: its name, where results go, and the seed of everything random."""

    name: str = Field(pattern=NAME)
    """Letters, digits and ``._+-``."""
    out: str = "out"
    """Folder of results. A folder that holds anything else is refused."""
    seed: int = Field(default=0, ge=0)
    """Seed of bootstrap, prompts and simulated raters."""


class Code(Section):
    """What a label is, as a code of a terminology: ``{ scheme, value, meaning }``."""

    scheme: str = Field(pattern=r"^[A-Z0-9]{1,16}$")
    """Designator of the terminology: ``SCT`` for SNOMED CT, ``FMA``."""
    value: str = Field(min_length=1, max_length=16)
    """The code."""
    meaning: str = Field(min_length=1, max_length=64)
    """Its meaning in words."""


class Label(Section):
    """One entry of ``[labels]``: the key is the id in the annotation files."""

    name: str = Field(pattern=NAME)
    """Name in tables and reports."""
    also: tuple[str, ...] = Field(default=(), strict=False)
    """Other names or ids of it in the files, as raters of another language or tool have."""
    value: int = Field(ge=1, le=65535)
    """Value in masks; 0 is background."""
    single: bool = True
    """Whether a slice holds one such object at most, as it does for most organs."""
    side: Literal["left", "right"] | None = None
    """Side of the *patient's* body on which the organ lies, where that is certain."""
    code: Code | None = None
    """Code of what it is, for exports to DICOM and 3D Slicer."""


class Annotations(Section):
    """``[annotations]``: where the boxes are and what their files leave unsaid."""

    format: Annotated[str, registered("crowdqc.formats", "format")]
    """Name of the format: ``yolo`` text files, a ``table`` of boxes in px (CSV or CSV.gz), ``coco``
    JSON, ``cvat`` for images XML, ``labelstudio`` JSON or JSON-MIN, Pascal ``voc`` XML, ``lidc``
    XML, or that of a plug-in."""
    path: str
    """The files, with ``{case}``, ``{slice}`` and ``{rater}`` for what their names say."""
    image: str | None = None
    """Names of the images in coco, cvat and labelstudio files, with ``{case}`` and ``{slice}``;
    none given: the name without its ending is the case, and every case is one image."""
    first_pixel: Literal[0, 1] | None = None
    """Number of the first pixel in voc files, which must be given: 1 as in Pascal VOC itself, where
    the last pixel counts as inside, or 0 as OpenLabeling and many others write."""
    size: tuple[Side, Side] | None = Field(default=None, strict=False)
    """Rows and columns of every image in px; not needed where images are given."""
    spacing: tuple[Millimetres, Millimetres, Millimetres] | None = Field(default=None, strict=False)
    """Width of a pixel, height of a pixel, distance of slices, in mm, where no image says it."""
    rater: str | None = None
    """The rater, where one person drew everything."""
    rater_of: dict[str, str] = Field(default_factory=dict)
    """Label -> rater, where each label was drawn by one person and the path has no {rater}."""
    rater_scope: Literal["study", "case"] = "study"
    """``"case"`` where a rater's name does not mean the same person in two cases."""
    empty_file: Literal["infer", "nothing", "unread"] = "infer"
    """What an empty file, or an image without a box whose state is not stated, means: looked at
    where the rater drew on slices before and after it (infer), nothing there, or not looked at."""
    never_drawn: Literal["infer", "missed"] = "infer"
    """What it means that a rater never drew a label in the whole study, though others drew it time
    and again on what the rater read: not asked for it (infer), or missed it every time."""
    file_times: bool = False
    """Whether the times at which yolo or voc files were last written say when slices were read.
    Only in the folder in which raters drew, or a copy that kept times (cp -p, rsync -a, zip)."""
    shapes: Literal["refuse", "box"] = "refuse"
    """What becomes of polygons, masks and ellipses: left out with a finding, so that their slices
    do not count as empty, or the upright box round each is taken."""
    outside: Literal["refuse", "clip"] = "refuse"
    """What becomes of a box that reaches beyond its image: left out, or clipped to it."""
    columns: dict[str, str | int] = Field(default_factory=dict)
    """Our name of a column -> its name in the file, or its place from 1 where the first line names
    none (``format = "table"``). A box is x0, y0, x1, y1; or box_width, box_height with x0, y0 or
    x_centre, y_centre."""
    keep: dict[str, str | list[str]] = Field(default_factory=dict)
    """Rows of the table to keep: column in the file -> value, or values (as text)."""
    rounds: list[str] = Field(default_factory=list)
    """Folders of rounds, the first that with which `path` begins, the others laid out alike: a
    later reading takes the place of an earlier one of the same case, slice, rater and label."""

    @pydantic.model_validator(mode="after")
    def _rounds_begin_path(self) -> Annotations:
        if self.rounds and not self.path.startswith(f"{self.rounds[0]}/"):
            raise ValueError(
                f"rounds must begin with the folder with which 'path' begins; got {self.rounds} "
                f"and '{self.path}'"
            )
        if len(set(self.rounds)) < len(self.rounds):
            raise ValueError(f"rounds must be folders that differ; got {self.rounds}")
        return self


class Assignments(Section):
    """``[assignments]``: who is asked for what, and the rules by which `crowdqc assign` deals."""

    path: str | None = None
    """A CSV table with the columns rater, case, label, slices, due, round. Only the first two must
    be filled in: no label means all, no slices (such as ``40-43 74``) the whole case."""
    raters: list[str] = Field(default_factory=list)
    """Everybody who takes part. Any other name in the table is refused."""
    cases: list[str] = Field(default_factory=list)
    """Cases to deal out; none given: those of [images]."""
    raters_per_case: int = Field(default=3, ge=1)
    """How many raters read each case."""
    due: dt.date | None = Field(default=None, strict=False)
    """Date by which what is dealt out is due, such as 2026-12-24."""
    packages: str = "packages"
    """Folder, beside the study file, of work packages and of what came back of them."""


class Window(Section):
    """``window``: how intensities become grey, by level and width or by percentiles."""

    level: float | None = Field(default=None, strict=False)
    """Middle of the window, in HU for CT."""
    width: float | None = Field(default=None, gt=0, strict=False)
    """Width of the window: from level - width / 2 to level + width / 2."""
    percentiles: tuple[float, float] | None = Field(default=None, strict=False)
    """Percentiles of the volume that become black and white."""

    @pydantic.model_validator(mode="after")
    def _one_way(self) -> Window:
        by_level = self.level is not None and self.width is not None
        half = (self.level is None) != (self.width is None)
        if half or by_level == (self.percentiles is not None):
            raise ValueError(
                "needs either 'level' and 'width' (CT, in HU) or 'percentiles' (MR and PET); got "
                f"{self.model_dump(exclude_none=True)}"
            )
        if self.percentiles is not None:
            low, high = self.percentiles
            if not 0 <= low < high <= 100:
                raise ValueError(f"percentiles must be 0 <= low < high <= 100; got {low}, {high}")
        return self


class Images(Section):
    """``[images]``: the pictures or volumes. Quality control of boxes needs none."""

    path: str | None = None
    """NIfTI volumes or, where it ends with ``/``, folders of one DICOM series (with {case}); or
    pictures (with {case} and {slice})."""
    geometry: str | None = None
    """Volumes that only give size and spacing, where the images may not be had."""
    plane: Plane = "stored"
    """Which slices were annotated: ``volume[:, :, k]`` as it is stored; or axial, coronal or
    sagittal ones of the volume turned to the nearest RAS+: k counts from the patient's feet,
    back or left, and ``picture = "transverse"`` is the radiologist's view."""
    picture: Picture = "rot90"
    """How the annotated picture was made from ``volume[:, :, k]``, in numpy's names."""
    window: Window = Window(percentiles=(0.5, 99.5))
    """How intensities become grey."""
    resample: bool = False
    """Whether a DICOM series with uneven distances, or of a tilted gantry, is resampled linearly
    onto an even grid, to which slice numbers and pixels of boxes then refer; else it is refused."""


class Truth(Section):
    """``[truth]``: expert masks (NIfTI) or expert boxes (a table) to score against."""

    path: str | None = None
    """NIfTI files of expert masks, with ``{case}``."""
    values: dict[str, int] = Field(default_factory=dict)
    """Label -> value in the expert masks, where it is not ``[labels]``' own."""
    tolerance_mm: Tolerance = 2.0
    """Distance of surfaces in mm that is no error in the surface Dice, as between two experts."""
    tolerances_mm: dict[str, Tolerance] = Field(default_factory=dict)
    """Label -> tolerance, where it is another one."""
    boxes: str | None = None
    """A table of expert boxes."""
    columns: dict[str, str | int] = Field(default_factory=dict)
    """As in ``[annotations]``, for `boxes`."""
    rater: str | None = None
    """Name of the rater in the annotations who is the gold standard."""
    calibrate: bool = False
    """Whether these boxes also correct the model of the raters: the error that all raters share,
    and the width of spreads. What is fused is then no longer independent of them, so that
    scores against the same boxes say too much: give boxes of a few cases that are not scored."""


class Publication(Section):
    """``[publication]``: what those read who find an export of the study."""

    description: str = ""
    """What the data are, in a sentence or two."""
    version: str = "1.0.0"
    """Version of the data."""
    license: str = ""
    """Name or address of the licence."""
    url: str = ""
    """Page of the data."""
    cite: str = ""
    """What to cite: a reference, as text or BibTeX."""
    date: str = Field(default="", pattern=r"^(\d{4}-\d{2}-\d{2})?$")
    """Day of publication, as YYYY-MM-DD."""
    creators: list[str] = Field(default_factory=list)
    """Names of those who made them."""
    platform: str = ""
    """Tool in which the raters drew."""
    protocol: str = ""
    """How raters worked: instructions, training, blinding."""
    subjects: str = ""
    """Whom the cases stand for: patients, scanners, years."""
    sampling: str = ""
    """How cases and raters were chosen."""
    sample_size: str = ""
    """Why there are as many raters and cases as there are."""
    demographics: str = ""
    """Who the raters are: profession, experience, how they were found; no names."""
