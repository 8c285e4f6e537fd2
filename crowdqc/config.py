"""The study file: TOML, read into frozen models, every key checked.

Paths in it are relative to the file, and may hold ``${NAME:-default}``, an environment
variable with a default. A key that is not known is refused with the nearest one that is.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from crowdqc.findings import InputError

SIMULATED = "simulated/{rater}/{case}-slice{slice}.txt"
"""Where `crowdqc simulate` writes, below the folder of results."""

NAME = r"^[\w+-][\w.+-]{0,99}$"
"""Names of labels and studies: they become parts of file names and of lists."""

Picture = Literal[
    "identity", "rot90", "rot180", "rot270", "flipud", "fliplr", "transpose", "transverse"
]
"""The eight ways in which a picture may have been made from ``volume[:, :, k]``."""

Plane = Literal["stored", "axial", "coronal", "sagittal"]
"""Which slices of a volume are pictures: those of its third axis, or those of the patient."""

Side = Annotated[int, Field(ge=1, le=1_000_000)]
"""Rows or columns of an image."""

Millimetres = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=False)]
"""A length."""

DatasetName = Literal["unfiltered", "filtered", "ignore", "truth"]
"""The datasets that one study can give."""


class Section(pydantic.BaseModel):
    """A section of the study file: frozen, and without unknown keys."""

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


Model = typing.TypeVar("Model", bound=Section)


class StudySection(Section):
    """``[study]``: its name, where results go, and the seed of everything random."""

    name: str = Field(pattern=NAME)
    """Letters, digits and ``._+-``."""
    out: str = "out"
    """Folder of results. A folder that holds anything else is refused."""
    seed: int = Field(default=0, ge=0)
    """Seed of bootstrap, prompts and simulated raters."""


class Label(Section):
    """One entry of ``[labels]``: the key is the id in the annotation files."""

    name: str = Field(pattern=NAME)
    """Name in tables and reports."""
    value: int = Field(ge=1, le=65535)
    """Value in masks; 0 is background."""
    single: bool = True
    """Whether a slice holds one such object at most, as it does for most organs."""
    side: Literal["left", "right"] | None = None
    """Side of the *patient's* body on which the organ lies, where that is certain."""


class Annotations(Section):
    """``[annotations]``: where the boxes are and what their files leave unsaid."""

    format: Literal["yolo", "table", "coco", "cvat", "labelstudio", "voc", "lidc"]
    """YOLO text files, a CSV (or CSV.gz) table of boxes in px, COCO JSON, CVAT for images XML,
    Label Studio JSON or JSON-MIN, Pascal VOC XML, LIDC-IDRI XML."""
    path: str
    """The files, with ``{case}``, ``{slice}`` and ``{rater}`` for what their names say."""
    image: str | None = None
    """Names of the images in coco, cvat and labelstudio files, with ``{case}`` and ``{slice}``;
    none given: the name without its ending is the case, and every case is one image."""
    first_pixel: Literal[0, 1] | None = None
    """Number of the first pixel in voc files, which must be said: 1 as in Pascal VOC itself, where
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
    """What an empty file means: looked at where the rater drew on slices before and after it
    (infer), nothing there, or not looked at."""
    file_times: bool = False
    """Whether the times at which yolo or voc files were last written say when slices were read.
    Only in the folder in which raters drew, or a copy that kept times (cp -p, rsync -a, zip)."""
    outside: Literal["refuse", "clip"] = "refuse"
    """What becomes of a box that reaches beyond its image: left out, or clipped to it."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Our name of a column -> its name in the file (``format = "table"``)."""
    keep: dict[str, str | list[str]] = Field(default_factory=dict)
    """Rows of the table to keep: column in the file -> value, or values (as text)."""

    @pydantic.model_validator(mode="after")
    def _whose_times(self) -> Annotations:
        own = self.format in ("yolo", "voc") and "{rater}" in self.path
        if self.file_times and not own:
            raise ValueError(
                "'file_times' needs yolo or voc files of one rater each, with {rater} in 'path'"
            )
        return self


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
                "needs either 'level' and 'width' (CT, in HU) or 'percentiles' (MR and PET)"
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
    """Volumes that only lend size and spacing, where the images may not be had."""
    plane: Plane = "stored"
    """Which slices were annotated: ``volume[:, :, k]`` as it is stored; or axial, coronal or
    sagittal ones of the volume turned to the nearest RAS+: k counts from the patient's feet,
    back or left, and ``picture = "transverse"`` is the radiologist's view."""
    picture: Picture = "rot90"
    """How the annotated picture was made from ``volume[:, :, k]``, in numpy's names."""
    window: Window = Window(percentiles=(0.5, 99.5))
    """How intensities become grey."""


class Truth(Section):
    """``[truth]``: expert masks (NIfTI) or expert boxes (a table) to score against."""

    path: str | None = None
    """NIfTI files of expert masks, with ``{case}``."""
    values: dict[str, int] = Field(default_factory=dict)
    """Label -> value in the expert masks, where it is not ``[labels]``' own."""
    tolerance_mm: float = Field(default=2.0, ge=0, strict=False)
    """Distance of surfaces in mm that is no error in the surface Dice, as between two experts."""
    tolerances_mm: dict[str, Annotated[float, Field(ge=0, strict=False)]] = Field(
        default_factory=dict
    )
    """Label -> tolerance, where it is another one."""
    boxes: str | None = None
    """A table of expert boxes."""
    columns: dict[str, str] = Field(default_factory=dict)
    """As in ``[annotations]``, for `boxes`."""
    rater: str | None = None
    """Name of the rater in the annotations who is the gold standard."""


class Match(Section):
    """``[match]``: when boxes of two raters are the same object."""

    iou: float = Field(default=0.3, gt=0, lt=1, strict=False)
    """Pairs of boxes above this IoU pull together."""


class RaterLimits(Section):
    """``[agree.limits]``: where the named faults of raters begin; verdicts are the policy's.

    A limit is crossed only when the whole interval lies beyond it, at the level of ``[agree]``
    for all raters of the study together.
    """

    miss: float = Field(default=0.1, ge=0, le=1, strict=False)
    """Share of missed objects: one slice in ten without its box leaves holes in a volume."""
    extra: float = Field(default=0.1, ge=0, le=1, strict=False)
    """Share of boxes where nothing is: each becomes a wrong mask."""
    astray: float = Field(default=0.1, ge=0, le=1, strict=False)
    """Share of boxes that lie elsewhere than the others' (IoU below 0.1): each is a wrong mask."""
    shift: float = Field(default=0.05, ge=0, strict=False)
    """Displacement as a share of the object's size: 0.05 in both directions costs 0.18 of IoU."""
    size: float = Field(default=0.1, ge=0, strict=False)
    """How much too large or small boxes are, as a share: 0.1 costs 0.17 of IoU."""
    spread: float = Field(default=1.5, ge=1, strict=False)
    """How many times the spread of the median rater a rater's edges scatter."""
    spread_least: float = Field(default=0.03, ge=0, strict=False)
    """Scatter of edges, as a share of the object's size, that no rater is blamed for."""
    confusion: float = Field(default=0.05, ge=0, le=1, strict=False)
    """Share of boxes, of all or of one label, with another label than the others agree on."""
    drift: float = Field(default=0.1, ge=0, strict=False)
    """Loss of IoU from the first to the last slice that a rater read."""
    repeated: float = Field(default=0.25, ge=0, le=1, strict=False)
    """Share of boxes that equal the rater's own on the slice before, above the median rater's."""
    copied: float = Field(default=0.25, ge=0, le=1, strict=False)
    """Share of boxes that equal another rater's to the pixel, above that of other pairs."""
    whole_image: float = Field(default=0.1, ge=0, le=1, strict=False)
    """Share of boxes round the whole image where the others drew a part of it."""
    guess: float = Field(default=0.05, ge=0, strict=False)
    """IoU by which boxes fit their own slice better than another one; guesses do not."""
    guess_share: float = Field(default=0.3, ge=0, le=1, strict=False)
    """The same as a share of what the median rater gains, where that is more: who looks, but
    scatters edges by a fifth of the organ, still gains a third of it."""
    seconds: float = Field(default=1.0, ge=0, strict=False)
    """Median seconds per box, where readings have a time: nobody aims faster."""


class Agree(Section):
    """``[agree]``: how agreement is measured."""

    iou: float = Field(default=0.5, gt=0, lt=1, strict=False)
    """IoU from which two boxes count as the same in F1, misses and extras."""
    bootstrap: int = Field(default=1000, ge=0)
    """Resamples of cases for an interval; 0 gives none."""
    level: float = Field(default=0.95, gt=0, lt=1, strict=False)
    """Coverage of intervals."""
    limits: RaterLimits = RaterLimits()
    """Where the faults of raters begin."""


class Fuse(Section):
    """``[fuse]``: how one box is made of many."""

    method: Literal["majority", "median", "mean", "wbf", "staple", "simple", "edges"] = "edges"
    """How the edges of the fused box are found."""
    quorum: float | None = Field(default=None, ge=0, le=1, strict=False)
    """Share of the raters asked who must have drawn an object; none given: 0.25, and none for
    ``edges``, which knows how likely each object is."""
    min_raters: int = Field(default=2, ge=1)
    """Number of raters who must have drawn it, where at least so many were asked."""
    probability: float = Field(default=0.5, ge=0, le=1, strict=False)
    """How likely an object must be to exist (``edges``)."""
    interpolate: bool = False
    """Whether boxes missing between two drawn slices are interpolated."""
    whole_pixels: bool = False
    """Whether edges are rounded to whole pixels: for tools that draw on whole pixels."""


class Masks(Section):
    """``[masks]``: which model draws masks, and from how many prompts."""

    model: str = "intensity"
    """``intensity``, the embedded model, which needs no weights; ``sam_vit_b``, ``sam_vit_l``,
    ``sam_vit_h``, ``medsam``; or the path of a checkpoint, relative to the working directory."""
    prompts: int = Field(default=16, ge=1)
    """Number of box prompts per object."""
    origins: Literal["fused", "raters", "both"] = "both"
    """Boxes that prompts lie round: the fused one, those that two or more raters drew of the
    object, or both."""
    jitter: Literal["spread", "training", "sam", "medsam", "sam-u", "fnpc"] = "spread"
    """How far prompts stray: as far as raters differ, and as the boxes of the model's training
    where that is not known (spread); always as the latter (training); or as SAM's or MedSAM's
    training, SAM-U or FNPC-SAM did, whatever the model."""
    second_model: str | None = None
    """Another model, as in `model`, that draws the same objects; masks.csv says how well the two
    agree."""
    mode: Literal["best", "paper"] = "best"
    """SAM and MedSAM as they were trained (best), or as in the study that crowdqc grew out of."""
    device: str = "auto"
    """Device of torch; auto is the first GPU, or the CPU."""
    reprompt: bool = True
    """Whether a slice whose mask disagrees with both its neighbours' is prompted again, with the
    box halfway between theirs; kept is what agrees better with them."""
    smooth_mm: float = Field(default=2.0, ge=0, le=100, strict=False)
    """Standard deviation, in mm, of the kernel that averages probabilities across slices where
    an organ goes on, but at most a sixteenth of the organ's length; 0 averages nothing."""
    remove_islands: bool = False
    """Whether pieces of an organ are removed that hang on to nothing in 3D, and are on no slice
    the largest."""
    fill_holes: bool = False
    """Whether background is filled that an organ encloses in 3D."""


class Gate(Section):
    """``[gate]``: the policy, a TOML file of rules; none means the one that crowdqc ships."""

    policy: str | None = None
    """The policy file."""


class FaultyRater(Section):
    """One entry of ``[simulate.raters]``: how a simulated rater draws."""

    noise: float = Field(default=1.5, ge=0, strict=False)
    """Standard deviation of each edge in px."""
    shift: tuple[float, float] = Field(default=(0.0, 0.0), strict=False)
    """Constant displacement in x and y in px."""
    scale: float = Field(default=1.0, gt=0, strict=False)
    """Factor of width and height round the centre."""
    miss: float = Field(default=0.0, ge=0, le=1, strict=False)
    """Probability that an object is not drawn."""
    skip: float = Field(default=0.0, ge=0, le=1, strict=False)
    """Share of slices that are never opened, in runs."""
    extra: float = Field(default=0.0, ge=0, strict=False)
    """Expected number of boxes per slice where there is nothing."""
    swap: tuple[str, str] | None = Field(default=None, strict=False)
    """Two labels that this rater confuses, always."""
    omit: list[str] = Field(default_factory=list)
    """Labels that this rater never draws."""
    stop: float = Field(default=0.0, ge=0, le=1, strict=False)
    """Share of each label's slices, the last ones, that are read but no longer drawn."""
    hold: int = Field(default=1, ge=1)
    """Number of slices for which one box is drawn and copied."""


class Simulate(Section):
    """``[simulate]``: annotations made from the truth by raters with known faults."""

    model: Literal["tight", "paper"] = "tight"
    """Boxes tight round each organ, or as in the paper: a 5x5 uniform filter of the mask above
    0.01, boxes round its components."""
    raters_per_case: int | None = Field(default=None, ge=1)
    """How many of the raters draw each case, dealt evenly; none given: all."""
    raters: dict[str, FaultyRater]
    """Rater -> faults."""


class Dataset(Section):
    """``[dataset]``: the nnU-Net raw datasets."""

    id: int = Field(default=501, ge=1, le=996)
    """Number of the unfiltered dataset; filtered, ignore and truth are the next three."""
    sets: tuple[DatasetName, ...] = Field(default=("unfiltered", "filtered"), strict=False)
    """Datasets to build: all that was drawn; what the gate accepts; the same with what it
    rejects as nnU-Net's ignore label; the expert masks."""
    channel: str = "CT"
    """``"CT"`` makes nnU-Net use CT normalisation, any other name z-scores."""
    images: Literal["copy", "hardlink", "symlink"] = "copy"
    """How images get into a dataset. Copies travel to other machines, links cost no space."""
    test: list[str] = Field(default_factory=list)
    """Cases kept for testing."""
    patient: str | None = None
    """Pattern (regular expression) whose first group, in a case's name, is the patient. All
    cases of a patient go to one side of every split; without it each case is a patient."""
    folds: int = Field(default=5, ge=2)
    """Folds of cross-validation."""


class Train(Section):
    """``[train]``: training with nnU-Net v2. The defaults are nnU-Net's and the paper's."""

    configuration: Literal["2d", "3d_fullres", "3d_lowres"] = "3d_fullres"
    """nnU-Net's configuration."""
    epochs: int = Field(default=1000, ge=1)
    """Epochs of training."""
    iterations: int = Field(default=250, ge=1)
    """Training batches per epoch; a fifth of it validates."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """nnU-Net's own, or its variant with AdamW, which gets somewhere in a short training."""
    mirror: bool = False
    """Whether mirroring augments: it would make a left kidney of a right one."""
    save_every: int = Field(default=5, ge=1)
    """Epochs between two checkpoints, from which a killed training goes on."""
    features: int = Field(default=32, ge=2)
    """Features of the network's first stage; fewer make it small."""
    memory_gb: float = Field(default=8.0, gt=0, strict=False)
    """GPU memory for which nnU-Net plans patch and batch."""
    compile: bool = True
    """Whether torch compiles the network: pays for long trainings on a GPU only."""
    workers: int = Field(default=8, ge=0)
    """Processes that load and augment; 0 does it in the training process."""
    device: Literal["cuda", "cpu", "mps"] = "cuda"
    """Where to train."""


class Engine(Section):
    """``[engine]``: where cases and folds are worked on. The results are the same."""

    name: Literal["local", "ray"] = "local"
    """In this process one after the other, or on the machines of a Ray cluster."""
    address: str | None = None
    """Address of the cluster, ``host:port`` as ``ray start --head`` says it; none given: that of
    ``RAY_ADDRESS``, or else this machine alone."""
    cpus: int = Field(default=1, ge=1)
    """Cores of each worker, which are the threads of its model."""
    workers: int | None = Field(default=None, ge=1)
    """Largest number of workers; none given: as many as the cluster has room for."""
    per_gpu: int = Field(default=1, ge=1, le=16)
    """Workers that share a GPU, where each needs one: while one reads, another computes."""


class Config(Section):
    """A whole study file."""

    study: StudySection
    labels: dict[str, Label] = Field(min_length=1)
    annotations: Annotations
    images: Images = Images()
    truth: Truth | None = None
    match: Match = Match()
    agree: Agree = Agree()
    fuse: Fuse = Fuse()
    masks: Masks = Masks()
    gate: Gate = Gate()
    simulate: Simulate | None = None
    dataset: Dataset = Dataset()
    train: Train = Train()
    engine: Engine = Engine()

    _file: Path = pydantic.PrivateAttr(default=Path("study.toml"))

    @property
    def file(self) -> Path:
        """The study file itself."""
        return self._file

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels, in the order of the file."""
        return tuple(label.name for label in self.labels.values())

    @property
    def tolerances_mm(self) -> dict[str, float]:
        """Label -> distance of surfaces that counts as no error."""
        truth = self.truth or Truth()
        return dict.fromkeys(self.label_names, truth.tolerance_mm) | truth.tolerances_mm

    @property
    def out(self) -> Path:
        """The folder of results."""
        return self.resolve(self.study.out)

    def resolve(self, path: str) -> Path:
        """`path` of the study file as a path: variables filled in, relative to the file."""
        text = expand(path)
        if "\0" in text:
            raise InputError(f"{self.file}: the path {path!r} holds a NUL character; no file does.")
        return Path(os.path.normpath(self.file.parent / text))

    @pydantic.model_validator(mode="before")
    @classmethod
    def _simulated(cls, data: Any) -> Any:
        """Simulated annotations lie in the folder of results, where nobody else's are.

        Their raters write an empty file only for what they have read and found empty.
        """
        if isinstance(data, dict) and "simulate" in data and "annotations" not in data:
            study = data.get("study")
            out = study.get("out", "out") if isinstance(study, dict) else "out"
            made = {"format": "yolo", "path": f"{out}/{SIMULATED}", "empty_file": "nothing"}
            return {**data, "annotations": made}
        return data

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Config:
        names = self.label_names
        _refuse_twice("names of labels", names)
        _refuse_twice("values of labels", [label.value for label in self.labels.values()])
        for where, used in self._labels_used().items():
            for name in used:
                if name not in names:
                    raise ValueError(f"{where} names the label '{name}'{_nearest(name, names)}")
        return self

    def _labels_used(self) -> dict[str, list[str]]:
        used = {"annotations.rater_of": list(self.annotations.rater_of)}
        if self.truth:
            used["truth.values"] = list(self.truth.values)
            used["truth.tolerances_mm"] = list(self.truth.tolerances_mm)
        if self.simulate:
            for rater, faults in self.simulate.raters.items():
                used[f"simulate.raters.{rater}.swap"] = list(faults.swap or ())
                used[f"simulate.raters.{rater}.omit"] = faults.omit
        return used


Changes = dict[str, dict[str, Any]]
"""Section -> key -> value to take instead of the study file's; `None` changes nothing."""


def load_config(path: Path, *, changes: Changes | None = None) -> Config:
    """Read and check a study file.

    Parameters
    ----------
    path : Path
        The TOML file.
    changes : dict of dict, optional
        Values to take instead of the file's: what the command line says.

    Raises
    ------
    InputError
        If it cannot be read, is no TOML, or breaks a rule: each fault on a line of its
        own, with the path of the key, the value, the rule and the nearest known key.
    """
    data = read_toml(path)
    for section, values in (changes or {}).items():
        told = {key: value for key, value in values.items() if value is not None}
        if told and isinstance(data.setdefault(section, {}), dict):
            data[section] |= told
    config = validate(Config, data, path)
    config._file = Path(path)  # noqa: SLF001
    return config


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file of the user's, or raise an `InputError` that says what is wrong."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text: {error.reason}.") from error
    except (ValueError, RecursionError) as error:  # also numbers of 5000 digits, deep nesting
        raise InputError(f"{path}: is not valid TOML: {error}.") from error


def validate(model: type[Model], data: dict[str, Any], path: Path) -> Model:
    """`data` as `model`, or an `InputError` with a line for each fault, naming `path`."""
    try:
        return model.model_validate(data)
    except pydantic.ValidationError as error:
        lines = [f"{path}: {_explain(fault, model)}" for fault in error.errors()]
        raise InputError("\n".join(lines)) from error


def expand(text: str) -> str:
    """`text` with ``${NAME}`` and ``${NAME:-default}`` replaced from the environment.

    Raises
    ------
    InputError
        If a variable without a default is not set.
    """

    def value(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        found = os.environ.get(name) or default
        if found is None:
            raise InputError(f"'{text}' needs the environment variable {name}, which is not set.")
        return found

    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", value, text)


def _explain(fault: Any, model: type[Section]) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = _fields_at(model, fault["loc"][:-1])
        return f"'{place}' is not a known key{_nearest(str(fault['loc'][-1]), known)}"
    if fault["type"] == "missing":
        return f"'{place}' is missing."
    message = fault["msg"].removeprefix("Value error, ")
    if not place:
        return message
    return f"'{place}': {message[0].lower()}{message[1:]}; got {_short(fault['input'])}."


def _short(value: object) -> str:
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _fields_at(model: type[Section], place: tuple[str | int, ...]) -> list[str]:
    """Names of the keys that are known at a place of the file."""
    kind: Any = model
    for part in place:
        fields = getattr(kind, "model_fields", None)
        kind = fields[part].annotation if fields and part in fields else _inner(kind)
        if typing.get_origin(kind) in (typing.Union, types.UnionType):
            kind = next(a for a in typing.get_args(kind) if a is not type(None))
    return list(getattr(kind, "model_fields", {}))


def _inner(kind: Any) -> Any:
    """The type of the values of a dict."""
    arguments = typing.get_args(kind)
    return arguments[-1] if arguments else None


def _nearest(name: str, known: typing.Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known are {', '.join(sorted(known))}."


def _refuse_twice(what: str, values: typing.Sequence[object]) -> None:
    twice = sorted({str(value) for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"{what} must differ; more than once: {', '.join(twice)}")
