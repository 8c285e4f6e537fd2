"""What each stage of a study is, as data: the one place that says it, for CLI, pipeline and report.

Help is made from it, so this module imports nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["STAGES", "StageInfo"]


@dataclass(frozen=True, kw_only=True)
class StageInfo:
    """A stage that a study goes through."""

    name: str
    """Its name, which is that of its command unless it runs one again."""
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
    def command(self) -> str:
        """Name of its command."""
        return self.name.removesuffix(" again")

    @property
    def title(self) -> str:
        """What it does, without a full stop."""
        return self.does.rstrip(".")


_ALL = (
    StageInfo(
        name="simulate",
        does="Simulate raters with known faults, from expert masks.",
        heading="Simulated boxes",
        sections=("labels", "images", "truth", "simulate"),
        after="crowdqc check STUDY",
    ),
    StageInfo(
        name="check",
        does="Read and validate the annotations.",
        heading="Findings",
        table="readings",
        needs=("simulate",),
        sections=("labels", "annotations", "assignments", "images", "truth"),
        after="crowdqc agree STUDY",
        remedy="do what the findings that reject ask for, then crowdqc check STUDY",
    ),
    StageInfo(
        name="agree",
        does="Measure agreement, and how reliable each rater is.",
        heading="Raters",
        table="raters",
        needs=("check",),
        sections=("match", "agree", "truth"),
        after="crowdqc fuse STUDY",
    ),
    StageInfo(
        name="fuse",
        does="Fuse the raters' boxes into one box per object.",
        heading="Fused boxes",
        table="consensus",
        needs=("check",),
        sections=("match", "fuse", "truth"),
        after="crowdqc complete STUDY",
    ),
    StageInfo(
        name="complete",
        does="Find what is missing, cut off or in the wrong place.",
        heading="Not complete",
        table="completeness",
        needs=("check",),
        sections=("labels", "images"),
        after="crowdqc gate STUDY",
        remedy="crowdqc complete STUDY --todo lists what each rater has to redraw; "
        "crowdqc gate STUDY judges",
    ),
    StageInfo(
        name="gate",
        does="Judge raters, cases and labels by a policy; exit code 3 if rejected.",
        heading="Not accepted",
        table="manifest",
        needs=("agree", "fuse", "complete"),
        sections=("gate", "match", "fuse"),
        after="crowdqc report STUDY",
        remedy="crowdqc gate STUDY --explain NAME says why; crowdqc report STUDY shows it",
    ),
    StageInfo(
        name="masks",
        does="Draw masks with an uncertainty from the accepted boxes.",
        heading="Masks",
        table="masks",
        needs=("gate",),
        sections=("labels", "images", "masks"),
        after="crowdqc report STUDY",
    ),
    StageInfo(
        name="gate again",
        does="Judge the masks, too.",
        heading="Not accepted",
        needs=("masks",),
        sections=("gate",),
    ),
    StageInfo(
        name="risk",
        does="Estimate how likely each mask is wrong, without expert masks.",
        heading="Masks most likely wrong",
        table="risk",
        needs=("masks",),
        after="crowdqc report STUDY",
    ),
    StageInfo(
        name="dataset",
        does="Build nnU-Net raw datasets, filtered and unfiltered.",
        heading="Datasets",
        needs=("gate again",),
        sections=("labels", "dataset", "truth"),
        after="crowdqc train STUDY --check",
    ),
    StageInfo(
        name="evaluate",
        does="Score masks against expert masks: Dice per volume and slice.",
        heading="Dice against the expert masks",
        table="scores",
        needs=("masks",),
        sections=("labels", "truth"),
        after="crowdqc report STUDY",
    ),
    StageInfo(
        name="train",
        does="Train nnU-Net on the datasets, then test it.",
        heading="Training",
        table="model_scores",
        needs=("dataset",),
    ),
    StageInfo(
        name="report",
        does="Write the report: one HTML file, or other forms of it.",
        heading="Report",
        needs=("gate",),
    ),
)

STAGES: dict[str, StageInfo] = {info.name: info for info in _ALL}
"""Name of a stage -> what it is, in the order in which a study goes through them."""
