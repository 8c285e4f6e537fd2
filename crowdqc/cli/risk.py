"""``crowdqc risk``: how likely each mask is wrong, without any truth."""

from __future__ import annotations

from pathlib import Path

import click

from crowdqc.cli.options import OUT, STUDY, guarded, open_run, output_options, speaker


@click.command()
@STUDY
@OUT
@click.option(
    "--masks",
    "patterns",
    multiple=True,
    help="Masks with {case}, relative to the study file; may be repeated. The first are judged.",
)
@click.option(
    "--scores",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Dice of some masks (case, slice, label, dice) to calibrate the risk on.",
)
@output_options
@guarded
def risk(
    study: Path,
    *,
    out: Path | None,
    patterns: tuple[str, ...],
    scores: Path | None,
    style: str,
    quiet: bool,
    verbose: bool,
) -> None:
    """Say how likely each mask is wrong, without any truth.

    Judges the study's own masks, or those made elsewhere that --masks names; further sets tell
    where models disagree. Writes risk.csv: risk from 0 to 1, and the signals that it is made of.
    """
    from crowdqc.cli.stage import finish
    from crowdqc.stages import PIPELINE
    from crowdqc.stages.risk import assess

    opened = open_run(study, out=out, say=speaker(quiet=quiet))
    PIPELINE.ensure("fuse" if patterns else "masks", opened)
    result = assess(opened, patterns, scores)
    finish(result, "Masks most likely wrong", style=style, quiet=quiet, verbose=verbose)
