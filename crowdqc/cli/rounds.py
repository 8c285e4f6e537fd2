"""Commands of the work with raters: ``assign``, ``status``, ``tasks``, ``receive``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from crowdqc.cli.options import OUT, STUDY, described, guarded, open_run, output_options, speaker
from crowdqc.plugins import names

SHARE = click.FloatRange(0.0, 1.0)


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
    share cases; the summary states what that can show. --join adds rows and keeps the others.
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
    "task": "What came back of what was asked for",
}


@click.command()
@STUDY
@OUT
@click.option(
    "--by",
    type=click.Choice(list(TITLES)),
    default="rater",
    show_default=True,
    help="What a row is; change: what is different in agreement since an earlier date; task: was "
    "it done, and is it better than before.",
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
    by: Literal["rater", "case", "day", "change", "task"],
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
    if by == "task":
        PIPELINE.ensure("rounds", run)
    result = progress.status(run, by=by, today=progress.today_or(today), since=since)
    finish(result, TITLES[by], **show)


@click.command()
@STUDY
@OUT
@click.option(
    "--to",
    "format_",
    type=click.Choice(names("crowdqc.formats")),
    default="yolo",
    show_default=True,
    help="Layout of the annotation tool: yolo is for OpenLabeling, LabelImg and the like.",
)
@click.option(
    "--prefill",
    type=click.Choice(["none", "own", "fused"]),
    help="What is drawn already. If not given: own boxes where they are to be corrected, "
    "nothing where something is to be drawn.",
)
@click.option("--rater", "raters", multiple=True, metavar="NAME", help="Only this one; repeatable.")
@click.option(
    "--error",
    type=SHARE,
    default=0.3,
    show_default=True,
    help="Expected error (1 - IoU) from which an object is drawn again.",
)
@click.option(
    "--redraw",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Slices that a rater draws again whose boxes are not accepted.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Slices at most.")
@click.option("--due", metavar="DATE", help="When the packages are due.")
@click.option("--again", is_flag=True, help="Ask again for what has not come back yet.")
@output_options
@guarded
@described
def tasks(study: Path, *, out: Path | None, due: str | None, format_: str, **wishes: Any) -> None:
    """Writes packages/roundN/RATER beside the study file, a folder to send to each rater.

    It holds the pictures to look at, what is drawn on them already, slices.csv, feedback.html (one
    page to print), and task.json, by which `crowdqc receive` knows it again.
    """
    from crowdqc.cli.progress import watcher
    from crowdqc.cli.stage import finish
    from crowdqc.packages.plan import Wanted
    from crowdqc.stages.pipeline import PIPELINE
    from crowdqc.stages.status import today_or
    from crowdqc.stages.tasks import Wishes, make_tasks

    wanted = Wanted(**{name: wishes.pop(name) for name in ("error", "redraw", "limit", "prefill")})
    show = {name: wishes.pop(name) for name in ("style", "quiet", "verbose")}
    say = speaker(quiet=show["quiet"])
    run = open_run(study, out=out, say=say, watch=watcher(say, quiet=show["quiet"]))
    date = "" if due is None else today_or(due).isoformat()
    PIPELINE.ensure("gate", run)
    result = make_tasks(run, Wishes(format_, wanted, due=date, **wishes))
    finish(result, "Work packages", **show)


@click.command()
@STUDY
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--empty",
    type=click.Choice(["infer", "nothing", "unread"]),
    default="infer",
    show_default=True,
    help="What a picture without a box means, where the format does not say it: read if it lies "
    "between two with a box (infer), read in any case (nothing), or not read.",
)
@click.option("--unasked", is_flag=True, help="Take in slices and labels not asked for, too.")
@click.option("--again", is_flag=True, help="Take in a package that has come back before.")
@output_options
@guarded
@described
def receive(
    study: Path, folder: Path, *, style: str, quiet: bool, verbose: bool, **terms: Any
) -> None:
    """Checks task.json, and keeps what was asked for beside the packages.

    The next `crowdqc run` reads it as a later round: it takes the place of what the rater drew
    before on the same slices, which is kept as well.
    """
    from crowdqc.cli.stage import finish
    from crowdqc.config import load_config
    from crowdqc.packages.receive import Terms
    from crowdqc.stages.receive import receive as take_in
    from crowdqc.stages.status import today_or

    result = take_in(load_config(study), folder, Terms(**terms), today=today_or(None))
    finish(result, "What came back", style=style, quiet=quiet, verbose=verbose)
