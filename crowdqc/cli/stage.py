"""Commands that run one stage of the pipeline each, and ``run``, which runs them all."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crowdqc.cli.hint import hint
from crowdqc.cli.options import (
    ENGINE,
    OUT,
    REFUSED,
    STUDY,
    guarded,
    open_run,
    output_options,
    speaker,
)
from crowdqc.findings import Verdict
from crowdqc.plugins import names

if TYPE_CHECKING:
    from crowdqc.stages import Result

TITLES = {
    "simulate": "Simulated boxes",
    "check": "Findings",
    "agree": "Raters",
    "fuse": "Fused boxes",
    "ask": "Where one more rater is worth most",
    "dry-run": "Masks to draw",
    "complete": "Not complete",
    "gate": "Not accepted",
    "masks": "Masks",
    "dataset": "Datasets",
    "evaluate": "Dice against the truth",
    "run": "Report",
}


Option = Callable[[Callable[..., Any]], Callable[..., Any]]


def change(flag: str, place: str, *, text: str, kind: Any = str) -> Option:
    """An option that takes the place of a key (``section.key``) of the study file."""
    text = f"{text} Instead of [{place.replace('.', '] ')}."
    return click.option(flag, place.replace(".", "__"), type=kind, help=text)


def alias(flag: str, place: str) -> Option:
    """A former name of an option, which help no longer lists."""
    return click.option(flag, place.replace(".", "__"), hidden=True)


def view(flag: str, text: str) -> Option:
    """An option that shows something else of what the stage found."""
    return click.option(flag, "look", flag_value=flag.removeprefix("--"), help=text)


def _stage(name: str, text: str, *options: Option) -> click.Command:
    """The command of one stage."""

    def command(study: Path, out: Path | None, **words: Any) -> None:
        perform(name, study, out=out, **words)

    for option in (guarded, output_options, *reversed(options), OUT, STUDY):
        command = option(command)
    return click.command(name, help=text, short_help=text.splitlines()[0])(command)


def perform(
    name: str,
    study: Path,
    *,
    out: Path | None = None,
    style: str,
    quiet: bool,
    verbose: bool,
    look: str | None = None,
    **changes: Any,
) -> None:
    """Run a stage (or ``"run"``, all), show its result, leave with the exit code it asks for.

    With `look`, a stage runs only if it is not up to date (or not at all, where the view is of
    what it would do), and that view of it is shown.
    """
    from crowdqc.cli.progress import watcher
    from crowdqc.stages import BEFORE, PIPELINE, VIEWS, run_all

    say = speaker(quiet=quiet)
    watch = watcher(say, quiet=quiet)
    opened = open_run(study, out=out, changes=_by_section(changes), say=say, watch=watch)
    if look is not None:
        (PIPELINE.prepare if look in BEFORE else PIPELINE.ensure)(name, opened)
        result = VIEWS[look](opened)
    else:
        result = run_all(opened) if name == "run" else PIPELINE.run(name, opened)
    after = "" if look or style != "table" else hint(name, study, result)
    finish(result, TITLES[look or name], style=style, quiet=quiet, verbose=verbose, after=after)


def finish(
    result: Result, title: str, *, style: str, quiet: bool, verbose: bool, after: str = ""
) -> None:
    """Show the result of a stage and what comes after; leave with the exit code it asks for."""
    from crowdqc.cli.show import print_table, write_out

    if style == "table":
        print_table(result.shown, title)
    elif style in {"json", "csv"}:
        write_out(result.table, style)
    say = speaker(quiet=quiet)
    for finding in result.findings if verbose else []:
        say(f"{finding.severity.value}: {finding.message}")
    say(result.summary)
    if after:
        say(after)
    if result.verdict is Verdict.REJECT:
        sys.exit(REFUSED)


def _by_section(changes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Values of options named ``section__key``, by section and key."""
    sections: dict[str, dict[str, Any]] = {}
    for place, value in changes.items():
        section, _, key = place.partition("__")
        sections.setdefault(section, {})[key] = value
    return sections


simulate = _stage(
    "simulate",
    """Draw boxes as raters with known faults would.

    From the masks of [truth] and the faults of [simulate], into the folder simulated/ of [study]
    out. Other commands do this by themselves where the study file has a section [simulate].""",
)
check = _stage(
    "check",
    """Read and validate the annotations.

    Every line that breaks a rule is a finding with file:line, value and rule, and is left out; the
    rest is kept. Writes images.csv, readings.csv, boxes.csv, findings.jsonl. Exit code 3 where a
    finding rejects.""",
)
agree = _stage(
    "agree",
    """Measure agreement; a scorecard for each rater.

    Writes measurements.csv and raters.csv.""",
)
fuse = _stage(
    "fuse",
    """Fuse the raters' boxes into one box per object.

    Writes consensus.csv and the folder consensus/ (YOLO files). Objects that too few raters drew
    are kept as rows with the state no_consensus, and never used as prompts.""",
    change("--method", "fuse.method", text=f"Fusion method: {', '.join(names('crowdqc.fusion'))}."),
    view("--ask", "List the objects for which one more rater is worth most."),
)
masks = _stage(
    "masks",
    """Draw masks with an uncertainty from the accepted boxes.

    Writes masks/CASE.nii.gz, masks/CASE.uncertainty.nii.gz and masks.csv. Refuses a manifest whose
    inputs have changed.""",
    change(
        "--model",
        "masks.model",
        text=f"The model: {', '.join(names('crowdqc.predictors'))}, NAME:FILE, or a checkpoint.",
    ),
    change(
        "--second-model", "masks.second_model", text="Another model, to see where the two agree."
    ),
    alias("--also", "masks.second_model"),
    change("--prompts", "masks.prompts", text="Box prompts per object.", kind=int),
    change(
        "--prompt-boxes",
        "masks.prompt_boxes",
        text="Boxes that prompts are made from.",
        kind=click.Choice(["fused", "raters", "both"]),
    ),
    alias("--origins", "masks.prompt_boxes"),
    change(
        "--jitter",
        "masks.jitter",
        text="How prompts stray.",
        kind=click.Choice(["spread", "training", "sam", "medsam", "sam-u", "fnpc"]),
    ),
    change(
        "--mode",
        "masks.mode",
        text="SAM and MedSAM as trained (best), or as in the paper.",
        kind=click.Choice(["best", "paper"]),
    ),
    change("--device", "masks.device", text="Device of torch."),
    ENGINE,
    view("--dry-run", "Draw nothing: count slices and prompts, and estimate time and memory."),
)
dataset = _stage(
    "dataset",
    """Build nnU-Net raw datasets, filtered and unfiltered.

    Writes nnUNet_raw/DatasetNNN_*, in the layout of nnU-Net v2.""",
)
evaluate = _stage(
    "evaluate",
    """Score masks against the truth: Dice per volume and slice.

    Writes scores.csv and, filtered against unfiltered, comparison.csv.""",
    ENGINE,
)


@click.command()
@STUDY
@OUT
@ENGINE
@output_options
@guarded
def run(study: Path, out: Path | None, **options: Any) -> None:
    """Run every stage that is not up to date.

    Ends with the report, and with exit code 3 where the gate says no.
    """
    perform("run", study, out=out, **options)
