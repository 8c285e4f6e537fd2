"""``crowdqc report``: the report, as a page or in another form."""

from __future__ import annotations

from pathlib import Path

import click

from crowdqc.cli.options import OUT, STUDY, guarded, open_run, speaker


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
    help="Pictures of masks in the page at most.",
)
@click.option(
    "--compare",
    "other",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Results of another study, or of another date, to set side by side.",
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr.")
@guarded
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
    """Write the report: one HTML file, or other forms of it.

    From what the other stages left in the folder of results; writes report.html, report.md,
    report.json or the folder report/ there, and its path on stdout. With --compare, a section sets
    verdicts, raters, agreement, completeness and counts beside those of another folder of results.
    """
    from crowdqc.stages import PIPELINE
    from crowdqc.stages.report import write_report
    from crowdqc.store import Store

    compared = None if other is None else Store.found(other)
    run = open_run(study, out=out, say=speaker(quiet=quiet))
    PIPELINE.prepare("report", run)
    result = write_report(
        run,
        form=form,
        charts=not no_charts,
        n_pictures=pictures,
        other=compared,
    )
    click.echo(result.table["report"].iloc[0])
