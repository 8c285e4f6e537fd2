"""Commands of the work with raters: ``assign``, ``status``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from crowdqc.cli.options import OUT, STUDY, described, guarded, open_run, output_options, speaker


@click.command()
@STUDY
@click.option("--join", "rater", metavar="NAME", help="Add a rater, on cases that others read.")
@click.option(
    "--cases",
    "n_cases",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="How many cases, with --join.",
)
@click.option("--due", metavar="DATE", help="When they are due, with --join.")
@output_options
@guarded
@described
def assign(study: Path, *, rater: str | None, n_cases: int, due: str | None, **show: Any) -> None:
    """Writes the table of [assignments] path, which must not be there yet.

    Each case goes to raters_per_case of the raters, so that all have as much to do and every two
    share cases; what that can show is said. --join adds rows, and leaves those that are there.
    """
    from crowdqc.cli.stage import finish
    from crowdqc.config import load_config
    from crowdqc.stages import assign as dealing
    from crowdqc.stages.status import today_or

    config = load_config(study)
    if rater is None:
        result = dealing.assign(config)
    else:
        date = None if due is None else today_or(due)
        result = dealing.add_rater(config, rater, n_cases=n_cases, due=date)
    title = "Cases dealt out" if rater is None else "Cases shared with the others"
    finish(result, title, **show)


TITLES = {
    "rater": "Progress of each rater",
    "case": "Progress of each rater in each case",
    "day": "Work of each day",
    "change": "Changes in agreement",
}


@click.command()
@STUDY
@OUT
@click.option(
    "--by",
    type=click.Choice(list(TITLES)),
    default="rater",
    show_default=True,
    help="What a row is; change: what is different in agreement since an earlier date.",
)
@click.option("--today", metavar="DATE", help="Date by which things are overdue, if not today.")
@click.option("--since", metavar="DATE", help="Earlier date, with --by change.")
@output_options
@guarded
@described
def status(
    study: Path,
    *,
    out: Path | None,
    by: Literal["rater", "case", "day", "change"],
    today: str | None,
    since: str | None,
    **show: Any,
) -> None:
    """Reads what `crowdqc check` left, and runs it first where it is out of date.

    A case is done, partly done, not opened, overdue, or not assigned. Dates are YYYY-MM-DD.
    """
    from crowdqc.cli.stage import finish
    from crowdqc.stages import status as progress
    from crowdqc.stages.pipeline import PIPELINE

    run = open_run(study, out=out, say=speaker(quiet=show["quiet"]))
    PIPELINE.ensure("check", run)
    result = progress.status(run, by=by, today=progress.today_or(today), since=since)
    finish(result, TITLES[by], **show)
