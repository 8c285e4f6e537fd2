"""``crowdqc complete`` and ``crowdqc gate``: what is missing, and what may be used."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from crowdqc.cli.hint import hint
from crowdqc.cli.options import OUT, STUDY, STYLES, guarded, open_run, output_options, speaker


@click.command()
@STUDY
@OUT
@click.option("--todo", is_flag=True, help="Show the worklist: who has to redraw what.")
@output_options
@guarded
def complete(study: Path, *, out: Path | None, todo: bool, **show: Any) -> None:
    """Find what is missing, cut off or in the wrong place.

    Writes completeness.csv: one row for each case, label and rater who was asked for it; and
    todo.csv, the worklist of each rater.
    """
    import pandas as pd

    from crowdqc.cli.stage import finish
    from crowdqc.stages import PIPELINE

    opened = open_run(study, out=out, say=speaker(quiet=show["quiet"]))
    result = PIPELINE.run("complete", opened)
    after = hint("fuse" if todo else "complete", study, result) if show["style"] == "table" else ""
    if todo:
        text = {"rater": str, "case": str, "label": str, "slices": str}
        tasks = pd.read_csv(opened.store.path("todo.csv"), dtype=text, keep_default_na=False)
        result = result.showing(tasks)
    finish(result, "To do" if todo else "Not complete", **show, after=after)


@click.command()
@STUDY
@OUT
@click.option("--explain", "unit", help="Say why: CASE, CASE/LABEL, rater:NAME or study.")
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="An earlier manifest.json: show what is decided differently.",
)
@functools.partial(output_options, styles=(*STYLES, "junit", "github"))
@guarded
def gate(
    study: Path, *, out: Path | None, unit: str | None, against: Path | None, **show: Any
) -> None:
    """Judge raters, cases and labels by a policy; exit code 3 is no.

    Writes manifest.json, the only door to masks: verdicts with reasons, the boxes that may be
    used, and hashes of everything that they come from.
    """
    from crowdqc.cli.stage import finish
    from crowdqc.judge import Manifest
    from crowdqc.stages import PIPELINE, masks_are_current
    from crowdqc.stages import gate as judge

    opened = open_run(study, out=out, say=speaker(quiet=show["quiet"]))
    before = None if against is None else Manifest.read(against)
    result = PIPELINE.run("gate", opened)
    plain = unit is None and before is None and show["style"] == "table"
    title, after = "Not accepted", hint("gate", study, result) if plain else ""
    if unit is not None:
        title, result = (
            f"Why {unit}",
            result.showing(judge.explain_unit(opened, unit, masks=masks_are_current(opened))),
        )
    elif before is not None:
        title, result = f"Changed since {against}", judge.changed(opened, before, result)
    if show["style"] in {"junit", "github"}:
        click.echo(judge.as_text(opened, show["style"]), nl=False)
    finish(result, title, **show, after=after)
