"""Commands that run one stage of the pipeline each, and ``run``, which runs them all."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import click

from crowdqc.cli.options import REFUSED, STUDY, guarded, output_options, speaker
from crowdqc.cli.show import show
from crowdqc.findings import Verdict
from crowdqc.stages import PIPELINE, Result, open_run


@dataclass(frozen=True)
class View:
    """How the result of a stage is shown to people: title and columns."""

    title: str
    columns: list[str] = field(default_factory=list)


VIEWS = {
    "check": View("Findings", ["severity", "check", "n", "example"]),
    "agree": View(
        "Raters",
        ["rater", "n_boxes", "agreement", "reliability", "miss_rate", "extra_rate", "verdict"],
    ),
    "fuse": View("Consensus boxes", ["label", "state", "n", "score"]),
    "complete": View(
        "What is not complete",
        ["case", "label", "rater", "state", "n_slices", "n_gaps", "gap_slices", "truncated"],
    ),
    "gate": View("Verdicts", ["kind", "name", "verdict", "reasons"]),
    "masks": View("Masks", ["label", "n", "area_px", "entropy", "pairwise_dice", "box_iou"]),
    "dataset": View("Datasets"),
    "evaluate": View("Dice"),
    "report": View("Report"),
}


def stage_command(name: str, text: str) -> click.Command:
    """The command of one stage."""

    @click.command(name, help=text)
    @STUDY
    @click.option(
        "--out", type=click.Path(path_type=Path), help="Folder of results instead of [study] out."
    )
    @output_options
    @guarded
    def command(study: Path, out: Path | None, style: str, *, quiet: bool, verbose: bool) -> None:
        run = open_run(study, out=out, say=speaker(quiet=quiet))
        finish(PIPELINE.run(name, run), name, style, quiet=quiet, verbose=verbose)

    return command


def finish(result: Result, name: str, style: str, *, quiet: bool, verbose: bool) -> None:
    """Show a result, and leave with the exit code that it asks for."""
    view = VIEWS[name]
    show(result.shown if style == "table" else result.table, style, title=view.title)
    say = speaker(quiet=quiet)
    say(result.summary)
    if verbose:
        for finding in result.findings:
            say(f"{finding.severity}: {finding.message}")
    if result.verdict is Verdict.REJECT:
        sys.exit(REFUSED)
