"""Settings of mask generation, as data: each with its unit, its default, and the reason for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from crowdqc.config import Picture, Plane, Window

PromptBoxes = Literal["fused", "raters", "both"]
"""Boxes that prompts are made from: the fused one, those that raters drew of it, or both."""

Noise = Literal["sam", "medsam", "sam-u", "fnpc"]
"""A law by which prompts stray; `samgen.prompts` has them."""

Jitter = Literal["spread", "training", "sam", "medsam", "sam-u", "fnpc"]
"""As far as raters differ, and where that is not known, as a model's training boxes did;
always the latter; or one of the laws, whatever the model."""


@dataclass(frozen=True, kw_only=True)
class PromptSettings:
    """How many boxes are made of one, and how far they stray."""

    n_prompts: int = 16
    """Boxes per object, the boxes themselves among them."""
    prompt_boxes: PromptBoxes = "both"
    """What they are made from. An object of which fewer than two raters' boxes are known has the
    fused one."""
    jitter: Jitter = "spread"
    """How they stray. Raters' own boxes hold their spread already: with ``"spread"``, those
    stray as the training's did, and only the fused box as far as raters differ."""


@dataclass(frozen=True, kw_only=True)
class VolumeSettings:
    """What is done with the masks of an organ once it is drawn on all slices (`samgen.refine`)."""

    reprompt: bool = False
    """Whether a slice that disagrees with both its neighbours is prompted by their boxes."""
    smooth_mm: float = 0.0
    """Standard deviation, in mm, of the kernel that averages probabilities across slices;
    of a short organ, less (`samgen.refine`)."""
    remove_islands: bool = False
    """Whether pieces that hang on to nothing are removed."""
    fill_holes: bool = False
    """Whether background that the organ encloses is filled."""

    @property
    def any(self) -> bool:
        """Whether anything is done at all."""
        return self != VolumeSettings()


@dataclass(frozen=True, kw_only=True)
class MaskSettings:
    """How masks are made of a study's volumes."""

    plane: Plane = "stored"
    """Which slices of the volume are ``volume[:, :, k]``."""
    resample: bool = False
    """Whether a DICOM series that is uneven or tilted is laid on an even grid."""
    picture: Picture = "rot90"
    """How the annotated picture was made from ``volume[:, :, k]``."""
    window: Window = field(default_factory=lambda: Window(percentiles=(0.5, 99.5)))
    """How intensities become the grey values that the model sees."""
    prompts: PromptSettings = PromptSettings()
    volume: VolumeSettings = VolumeSettings()
    """What is done between slices."""
    square_pixels: bool = True
    """Whether models are shown pictures stretched to square pixels (`samgen.square`)."""
    seed: int = 0
    """Seed of the study."""


@dataclass(frozen=True, kw_only=True)
class IntensitySettings:
    """Settings of the embedded model; `samgen.predictors.intensity` says what each of them does.

    The same for every organ and modality; grey values run from 0 to 255. Chosen by reason, not
    fitted: halving or doubling any one of them changes the mean Dice over five organs, or over
    three other data sets, by 0.03 at most (``benchmarks/intensity.py DATA --sensitivity``).
    """

    margin_share: float = 0.25
    """Background that is looked at round the box, as a share of the box's side."""
    margin_px: float = 4.0
    """And at least so much, in px."""
    smooth_radius_px: int = 2
    """Radius of the edge-preserving filter: organs differ by less than the noise of a pixel."""
    smooth_noise: float = 2.0
    """What varies by more than this many standard deviations of the noise is an edge."""
    core_spread: tuple[float, float] = (5.0, 15.0)
    """Smallest and largest standard deviation of the grey values of one tissue."""
    rounds: int = 8
    """Rounds of expectation maximisation."""
    shape_power: float = 2.2
    """Exponent of the ellipse that a box is expected to hold: 2 an ellipse, infinity the box."""
    shape_weight: float = 1.5
    """Log odds that the centre of the box belongs to the object, before anything is seen."""
    coupling: float = 2.0
    """Log odds that neighbours who all agree give a pixel."""
    evidence_limit: float = 3.0
    """Largest log odds that the grey value of one pixel is worth."""
    fit_margin: float = 0.05
    """By how much more IoU with the box an object of several tissues must fit, to be believed."""
    fit_scale: float = 0.01
    """Difference in IoU that changes the odds of the two by a factor e."""
    piece_gain: float = 0.05
    """IoU with the box that a further piece must add."""
    piece_share: float = 0.02
    """Smallest size of a further piece, as a share of the largest."""
    pieces: int = 8
    """How many pieces are looked at, from the largest."""

    def learned(self) -> dict[str, float]:
        """What `crowdqc adapt` may change, by name; of `core_spread` the largest."""
        found: dict[str, float] = {name: getattr(self, name) for name in LEARNED if name != CORE}
        return {**found, CORE: self.core_spread[1]}

    def having(self, constants: Mapping[str, float]) -> IntensitySettings:
        """The same with some of what `learned` names changed."""
        changed: dict[str, Any] = dict(constants)
        if CORE in changed:
            largest = changed[CORE]
            changed[CORE] = (min(self.core_spread[0], largest), largest)
        return replace(self, **changed)


CORE = "core_spread"
LEARNED = ("shape_weight", "shape_power", "coupling", "evidence_limit", CORE, "fit_margin")
"""Fields that an organ may have of its own: what a picture looks like before is not among them."""


@dataclass(frozen=True, kw_only=True)
class VolumeModelSettings:
    """Settings of the embedded model in three dimensions (`samgen.predictors.intensity3d`)."""

    drawings: int = 3
    """Courses of the edges along which an object is drawn."""
    shape_share: float = 2 / 3
    """Share of `IntensitySettings.shape_weight` that counts here, where neighbours say more."""
    limit_share: float = 4 / 3
    """Share of `IntensitySettings.evidence_limit` that counts here."""
    coupling_mm: float = 4.0
    """Reach of what pixels say to those on the slices beside; a slice at most."""
    pooled: float = 0.5
    """Pixels of all slices that a histogram of one leans on, as a share of its own."""
    judged_together: float = 0.5
    """Share of all slices, against the slice itself, in which view of the organ is believed."""
    likelihood_share: float = 1.0
    """IoU with the box that a mean log likelihood of 1 for each pixel is worth."""
    fit_scale: float = 0.02
    """Difference in fit that changes the odds of two views by a factor e."""
    margin_share: float = 0.2
    """Share of `IntensitySettings.fit_margin` that counts here, beside the likelihood."""
    again: int = 2
    """Rounds for each further course of the edges."""
    side_max: int = 128
    """Longer side of the box on the grid that it is drawn on, where steps are whole pixels."""
