"""Commands with options of their own: gate, risk, plan, report."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from crowdqc.catalogue import STAGES
from crowdqc.cli.options import (
    OUT,
    STUDY,
    STYLES,
    Shard,
    described,
    echo,
    guarded,
    open_run,
    output_options,
    speaker,
)

SHARE = click.FloatRange(0.0, 1.0, min_open=True)


@click.command()
@STUDY
@OUT
@click.option(
    "--explain",
    "unit",
    metavar="NAME",
    help="Show the rules asked of CASE, CASE/LABEL, rater:NAME or study.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="An earlier manifest.json: show the verdicts that have changed.",
)
@functools.partial(output_options, styles=(*STYLES, "junit", "github"))
@guarded
@described
def gate(
    study: Path, *, out: Path | None, unit: str | None, against: Path | None, **show: Any
) -> None:
    """Writes manifest.json.

    It holds the verdicts with their reasons, the boxes that may be used, and the hashes of
    everything that these come from. Masks are drawn from the boxes in it only.
    """
    from crowdqc.cli.stage import finish, hint
    from crowdqc.judge import Manifest
    from crowdqc.stages import gate as judge
    from crowdqc.stages.pipeline import PIPELINE, masks_are_current

    opened = open_run(study, out=out, say=speaker(quiet=show["quiet"]))
    before = None if against is None else Manifest.read(against)
    result = PIPELINE.run("gate", opened)
    plain = unit is None and before is None and show["style"] == "table"
    title, after = STAGES["gate"].heading, hint("gate", study, result) if plain else ""
    if unit is not None:
        title, result = (
            f"Why {unit}",
            result.showing(judge.explain_unit(opened, unit, masks=masks_are_current(opened))),
        )
    elif before is not None:
        title, result = f"Changed since {against}", judge.changed(opened, before, result)
    if show["style"] in {"junit", "github"}:
        echo(judge.as_text(opened, show["style"]), nl=False)
    finish(result, title, **show, after=after)


@click.command()
@STUDY
@OUT
@click.option(
    "--masks",
    "patterns",
    multiple=True,
    help="Masks with {case}, relative to the study file; repeatable. The first are assessed.",
)
@click.option(
    "--scores",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="CSV file with the Dice of some masks (case, slice, label, dice): calibrates the risk.",
)
@click.option("--graded", is_flag=True, help="Calibrate the risk by the grades in decisions.csv.")
@click.option(
    "--shard",
    type=Shard(),
    help="Measure part I of N of the cases, beside the jobs that measure the others.",
)
@click.option("--merge", is_flag=True, help="Write the table once all shards are measured.")
@output_options
@guarded
@described
def risk(
    study: Path,
    *,
    out: Path | None,
    patterns: tuple[str, ...],
    scores: Path | None,
    graded: bool,
    shard: tuple[int, int] | None,
    merge: bool,
    **show: Any,
) -> None:
    """Writes risk.csv: the probability that a mask is wrong, and the signals that it is made of.

    It is the probability that the Dice is below 0.5, on the scale of other studies unless scores or
    grades are given; with the Dice of two cases or more there is an interval of 90 % of each Dice.

    Assesses the study's own masks, or those made elsewhere that --masks names; further sets show
    where models disagree.
    """
    from crowdqc.cli.stage import finish
    from crowdqc.stages.pipeline import PIPELINE
    from crowdqc.stages.risk import assess, assess_shard

    opened = open_run(study, out=out, say=speaker(quiet=show["quiet"]))
    needed = "fuse" if patterns else "gate again"
    if shard is not None:
        PIPELINE.refuse_behind(needed, opened)
        result = assess_shard(opened, patterns, shard)
    else:
        PIPELINE.ensure(needed, opened)
        result = assess(opened, patterns, scores, graded=graded, merge=merge)
    finish(result, STAGES["risk"].heading, **show)


INSIDE = click.FloatRange(0.0, 1.0, min_open=True, max_open=True)


@click.command()
@STUDY
@OUT
@click.option(
    "--bad", "limit", type=INSIDE, default=0.05, show_default=True, help="Wanted bound, a share."
)
@click.option(
    "--confidence",
    type=INSIDE,
    default=0.95,
    show_default=True,
    help="Confidence of the bound.",
)
@click.option(
    "--below",
    type=INSIDE,
    default=0.5,
    show_default=True,
    help="A mask is bad where its Dice is below this, or it was graded as bad; a box by its IoU.",
)
@click.option(
    "--boxes/--masks",
    default=None,
    help="Audit the fused boxes (bad is an IoU below, or nothing there), or the masks. None given: "
    "the audit that there is, of masks where there are both or none.",
)
@click.option("--restart", is_flag=True, help="Forget the audit that there is; grades are kept.")
@output_options
@guarded
@described
def audit(
    study: Path, *, out: Path | None, boxes: bool | None, restart: bool, **asked: Any
) -> None:
    """Writes audit.csv: the masks, those to grade next first, in the order in which to grade them.

    Experts grade them by crowdqc review, or in decisions.csv. Each time the command is given, it
    takes the grades that there are, bounds the share of bad masks among those accepted (all, by
    label, by risk), and lists what to grade next. The gate writes the bound into manifest.json.
    With --boxes it is about the fused boxes; both may be audited side by side.
    """
    from crowdqc.cli.stage import finish, hint
    from crowdqc.stages import audit as audits
    from crowdqc.stages.audited import audited_unit
    from crowdqc.stages.pipeline import PIPELINE, masks_are_current

    show = {name: asked.pop(name) for name in ("style", "quiet", "verbose")}
    opened = open_run(study, out=out, say=speaker(quiet=show["quiet"]))
    unit = audited_unit(opened, boxes=boxes, restart=restart)
    for need in ("gate",) if unit == "box" else ("gate", "gate again"):
        PIPELINE.ensure(need, opened)
    request = audits.Request(**asked, unit=unit)
    result = audits.audit(opened, request, masks=masks_are_current(opened))
    after = hint("audit", study, result) if show["style"] == "table" else ""
    finish(result, STAGES["audit"].heading, **show, after=after)


@click.command()
@STUDY
@OUT
@click.option(
    "--iou",
    type=SHARE,
    default=0.8,
    show_default=True,
    help="Wanted IoU with the truth.",
)
@click.option(
    "--largest",
    type=click.IntRange(min=1),
    default=9,
    show_default=True,
    help="Largest number of raters to consider.",
)
@click.option("--slices", is_flag=True, help="Show instead how many slices a rater must read.")
@click.option(
    "--budget",
    "boxes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Show instead what N further boxes are best spent on: budget.csv.",
)
@click.option(
    "--error",
    type=SHARE,
    default=0.2,
    show_default=True,
    help="Wanted expected error, 1 - IoU, of an object; with --budget.",
)
@output_options
@guarded
@described
def plan(study: Path, *, out: Path | None, boxes: int | None, error: float, **asked: Any) -> None:
    """Writes plan.csv: the accuracy of a consensus of 1, 2, ... raters.

    Estimated from the raters of this study, or of a pilot: how much their boxes vary, what they
    miss, and how difficult the objects are.
    """
    from crowdqc.cli.stage import finish
    from crowdqc.stages.plan import plan_budget, plan_study

    show = {name: asked.pop(name) for name in ("style", "quiet", "verbose")}
    opened = open_run(study, out=out, say=speaker(quiet=show["quiet"]))
    if boxes is not None:
        finish(plan_budget(opened, boxes=boxes, error=error), "What to ask for", **show)
        return
    result = plan_study(opened, **asked)
    finish(result, "Slices for a rater" if asked["slices"] else "Raters per slice", **show)


@click.command()
@STUDY
@OUT
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "md", "json", "csv"]),
    default="html",
    show_default=True,
    help="Form of the report; csv is a folder with a file for each table.",
)
@click.option("--no-charts", is_flag=True, help="Leave out the charts: 5 MB less, same tables.")
@click.option(
    "--pictures",
    type=click.IntRange(min=0),
    metavar="N",
    help="Largest number of pictures of masks.",
)
@click.option(
    "--compare",
    "other",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder of results of another study or date, to set beside this one.",
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr.")
@guarded
@described
def report(
    study: Path,
    *,
    out: Path | None,
    form: str,
    no_charts: bool,
    pictures: int | None,
    other: Path | None,
    quiet: bool,
) -> None:
    """Writes report.html, report.md, report.json or the folder report/, and its path on stdout.

    The report is made from what the other stages left in the folder of results. With --compare, it
    has a section with verdicts, raters, agreement, completeness and counts beside those of another
    folder of results.
    """
    from crowdqc.stages.pipeline import PIPELINE, write_report
    from crowdqc.store import Store

    compared = None if other is None else Store.found(other)
    run = open_run(study, out=out, say=speaker(quiet=quiet))
    PIPELINE.prepare("report", run)
    result = write_report(run, form=form, charts=not no_charts, n_pictures=pictures, other=compared)
    click.echo(result.table["report"].iloc[0])
