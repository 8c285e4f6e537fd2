"""Sections of the study file that say what is done: from matching to training, and where."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from crowdqc.config.toml import Section, registered

DatasetName = Literal["unfiltered", "filtered", "ignore", "truth"]
"""The datasets that one study can give."""


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
    astray: float = Field(default=0.05, ge=0, le=1, strict=False)
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
    doubled: float = Field(default=0.05, ge=0, le=1, strict=False)
    """Share of boxes that are a second one of an organ that is there once: which is right?"""
    copied: float = Field(default=0.25, ge=0, le=1, strict=False)
    """Share of boxes that equal another rater's to the pixel, above that of other pairs."""
    dependent: float = Field(default=0.5, ge=0, le=1, strict=False)
    """How far two raters are one voice, by the errors that they have in common."""
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

    method: Annotated[str, registered("crowdqc.fusion", "fusion method")] = "edges"
    """How the edges of the fused box are found: a built-in method or that of a plug-in."""
    quorum: float | None = Field(default=None, ge=0, le=1, strict=False)
    """Share of the raters asked who must have drawn an object; none given: 0.25, and 0 for
    ``edges``, which knows how likely each object is."""
    min_raters: int | None = Field(default=None, ge=1)
    """Number of raters who must have drawn it, where at least so many were asked; none given: 2,
    and 1 of two raters, or of three for ``edges``."""
    probability: float = Field(default=0.5, ge=0, le=1, strict=False)
    """How likely an object must be to exist (``edges``)."""
    interpolate: bool = False
    """Whether boxes missing between two drawn slices are interpolated."""
    whole_pixels: bool | None = None
    """Whether edges are rounded to whole pixels; none given: where the raters draw on them, those
    that are known to less than 2 px."""
    shown: str | None = None
    """A table of boxes that raters were shown as done, and so did not draw: rows of ``done.csv``,
    which ``crowdqc fuse --next-raters`` writes, with a column ``rater``."""


class Masks(Section):
    """``[masks]``: which model draws masks, and from how many prompts."""

    model: str = "intensity3d"
    """``intensity3d``, the embedded model, which needs no weights and draws an object on all its
    slices at once, or ``intensity``, the same slice by slice; ``sam_vit_b``, ``sam_vit_l``,
    ``sam_vit_h``, ``medsam``; or the path of a checkpoint, relative to the working directory."""
    prompts: int = Field(default=16, ge=1)
    """Number of box prompts per object."""
    prompt_boxes: Literal["fused", "raters", "both"] = "both"
    """Boxes that prompts are made from: the fused one, those that two or more raters drew of the
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
    allow_licences: tuple[str, ...] = Field(
        default=("Apache-2.0", "MIT", "BSD-3-Clause", "CC-BY-4.0"), strict=False
    )
    """Licences (SPDX) of weights that masks may be drawn with; others are refused until they are
    named, such as ``CC-BY-SA-4.0``."""
    device: str = "auto"
    """Device of torch; auto is the first GPU, or the CPU."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """In which SAM and SAM 2 multiply; auto is bfloat16 on a GPU that has it, and float32
    elsewhere. Models without weights ignore it."""
    memory_slices: int | None = Field(default=None, ge=0, le=16)
    """Prompted slices that SAM 2 remembers at a time; none means 4, as in its training. With 0
    every mask is drawn from its own box alone, and gaps stay empty."""
    picture_px: int | None = Field(default=None, ge=128, le=1024, multiple_of=128)
    """Side of the pictures that SAM 2 is shown; none means 1024, and of MedSAM2 512."""
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


class Adapt(Section):
    """``[adapt]``: how `crowdqc adapt` lets the model of ``[masks]`` learn."""

    method: Literal["decoder", "lora"] = "decoder"
    """What of SAM, MedSAM and SAM 2 learns: the mask decoder, or also matrices of low rank in the
    attention of the later half of the image encoder (needs the extra ``adapt``). The embedded
    models learn constants of each label."""
    held_out: float = Field(default=0.3, gt=0, lt=1, strict=False)
    """Share of the patients with truth who are held out, three at least: they say when to stop, and
    whether the model is better than before."""
    steps: int = Field(default=30, ge=1)
    """Most epochs, or changes of constants; five without gain on the held-out cases end it."""
    rate: float = Field(default=1e-4, gt=0, lt=1, strict=False)
    """Learning rate (AdamW)."""
    rank: int = Field(default=8, ge=1)
    """Rank of the matrices of ``lora``."""


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


class Limits(Section):
    """``[limits]``: the most that a file may hold, or claim. Raise what a study really needs."""

    bytes: int = Field(default=4_000_000_000, ge=1)
    """Bytes of an annotation file, as it is when unpacked."""
    rows: int = Field(default=5_000_000, ge=1)
    """Rows of a table, and boxes of any other annotation file."""
    labels: int = Field(default=1_000, ge=1)
    """Entries of ``[labels]``, and classes of a class list."""
    slices: int = Field(default=20_000, ge=1)
    """Slices of a volume along each axis."""
    voxels: int = Field(default=2**30, ge=1)
    """Voxels of a volume."""


class EngineSettings(Section):
    """``[engine]``: how workers share the machines. Which machines, only the command line says."""

    cpus: int = Field(default=1, ge=1)
    """Cores of each worker, which are the threads of its model."""
    workers: int | None = Field(default=None, ge=1)
    """Largest number of workers; none given: as many as the cluster has room for."""
    per_gpu: int = Field(default=1, ge=1, le=16)
    """Workers that share a GPU, where each needs one: while one reads, another computes."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _no_address(cls, data: Any) -> Any:
        """Who connects to a cluster runs what it sends, so that a study may not say where."""
        for key in ("name", "address"):
            if isinstance(data, dict) and key in data:
                raise ValueError(
                    f"'{key}' may not stand in a study file; say --engine ray (or its address) on "
                    "the command line, or set CROWDQC_ENGINE"
                )
        return data
