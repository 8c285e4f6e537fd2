"""``crowdqc plan``: how many raters per slice, and how many slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from crowdqc.cli.options import OUT, STUDY, guarded, open_run, output_options, speaker

SHARE = click.FloatRange(0.0, 1.0, min_open=True)


@click.command()
@STUDY
@OUT
@click.option("--iou", type=SHARE, default=0.8, show_default=True, help="Wanted consensus IoU.")
@click.option(
    "--largest",
    type=click.IntRange(min=1),
    default=9,
    show_default=True,
    help="Most raters to try.",
)
@click.option("--slices", is_flag=True, help="Show how many slices a rater must read instead.")
@output_options
@guarded
def plan(
    study: Path, *, out: Path | None, iou: float, largest: int, slices: bool, **show: Any
) -> None:
    """Say how many raters, and how many slices, a study like this one needs.

    From the study's own raters (or those of a pilot): how far they scatter, what they miss, how
    hard the objects are. Writes plan.csv: what a consensus of 1, 2, ... raters is worth.
    """
    from crowdqc.cli.stage import finish
    from crowdqc.stages.plan import plan_study

    opened = open_run(study, out=out, say=speaker(quiet=show["quiet"]))
    result = plan_study(opened, iou=iou, largest=largest, slices=slices)
    finish(result, "Slices for a rater" if slices else "Raters per slice", **show)
