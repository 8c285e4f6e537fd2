"""Commands that run one stage of the pipeline each, and ``run``, which runs them all."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crowdqc.catalogue import STAGES
from crowdqc.cli.options import (
    ENGINE,
    OUT,
    REFUSED,
    STUDY,
    STYLES,
    Shard,
    described,
    guarded,
    open_run,
    output_options,
    speaker,
)
from crowdqc.findings import Verdict
from crowdqc.plugins import names

if TYPE_CHECKING:
    from crowdqc.stages.base import Result

HEADINGS = {
    "next-raters": "Objects to ask one more rater, or an expert, about",
    "dry-run": "Masks to draw",
    "merge": "Masks",
    "todo": "To do",
    "run": "Report",
}
"""Headings of what is no stage's own result."""

Option = Callable[[Callable[..., Any]], Callable[..., Any]]


def _change(flag: str, place: str, *, text: str, kind: Any = str) -> Option:
    """An option that takes the place of a key (``section.key``) of the study file."""
    text = f"{text} Instead of [{place.replace('.', '] ')}."
    return click.option(flag, place.replace(".", "__"), type=kind, help=text)


def _alias(flag: str, place: str) -> Option:
    """A former name of an option, which help no longer lists."""
    return click.option(flag, place.replace(".", "__"), hidden=True)


def _viewing_alias(flag: str, name: str) -> Option:
    """A former name of an option that shows something else."""
    return click.option(flag, "view", flag_value=name, hidden=True)


def _viewing(flag: str, text: str) -> Option:
    """An option that shows something else of what the stage found."""
    return click.option(flag, "view", flag_value=flag.removeprefix("--"), help=text)


def _heading(name: str) -> str:
    return STAGES[name].heading if name in STAGES else HEADINGS[name]


def _stage(name: str, text: str, *options: Option) -> click.Command:
    """The command of one stage; `text` follows what the catalogue says that it does."""

    def command(study: Path, out: Path | None, **words: Any) -> None:
        perform(name, study, out=out, **words)

    for option in (guarded, output_options, *reversed(options), OUT, STUDY):
        command = option(command)
    return click.command(name, help=f"{STAGES[name].does}\n\n{inspect.cleandoc(text)}")(command)


def perform(
    name: str,
    study: Path,
    *,
    out: Path | None = None,
    style: str,
    quiet: bool,
    verbose: bool,
    view: str | None = None,
    **changes: Any,
) -> None:
    """Run a stage, show its result, leave with the exit code it asks for.

    With `shard`, that part of the stage is done. With `view`, a stage runs only if it is not up to
    date (or not at all, where the view is of what it would do), and that view of it is shown.

    Parameters
    ----------
    name : str
        A stage, or ``"run"`` for all.
    study : Path
        A study file.
    out : Path, optional
        Folder of results; as the study file says if `None`.
    style : str
        Value of ``--format``.
    quiet : bool
        Say nothing on stderr.
    verbose : bool
        Name each finding on stderr.
    view : str, optional
        One of `crowdqc.stages.pipeline.VIEWS`.
    **changes : object
        Options that replace keys of the study file, as ``SECTION.KEY``; and `shard`.
    """
    from crowdqc.cli.progress import watcher
    from crowdqc.stages.pipeline import BEFORE, PIPELINE, VIEWS, draw_shard, run_all

    say, shard = speaker(quiet=quiet), changes.pop("shard", None)
    watch = watcher(say, quiet=quiet)
    opened = open_run(study, out=out, changes=_by_section(changes), say=say, watch=watch)
    if shard is not None:
        result = draw_shard(opened, shard)
    elif view is not None:
        (PIPELINE.prepare if view in BEFORE else PIPELINE.ensure)(name, opened)
        result = VIEWS[view](opened)
    else:
        result = run_all(opened) if name == "run" else PIPELINE.run(name, opened)
    after = "" if view or shard or style != "table" else hint(name, study, result)
    finish(
        result,
        _heading(view or name),
        style=style,
        quiet=quiet,
        verbose=verbose,
        after=after,
    )


def finish(
    result: Result, title: str, *, style: str, quiet: bool, verbose: bool, after: str = ""
) -> None:
    """Show the result of a stage and what comes after; leave with the exit code it asks for.

    Parameters
    ----------
    result : Result
        Of a stage.
    title : str
        Line above its table.
    style : str
        Value of ``--format``; other styles than `STYLES` show no table.
    quiet : bool
        Say nothing on stderr.
    verbose : bool
        Name each finding on stderr.
    after : str
        Last line on stderr; none if empty.
    """
    from crowdqc.cli.output import finding_line, print_table, write_out

    if style == "table":
        print_table(result.shown, title)
    elif style in STYLES:
        write_out(result.table, style)
    say = speaker(quiet=quiet)
    for finding in result.findings if verbose else []:
        say(finding_line(finding))
    say(result.summary)
    if after:
        say(after)
    if result.verdict is Verdict.REJECT:
        sys.exit(REFUSED)


def hint(stage: str, study: Path, result: Result) -> str:
    """A line with the command that comes next; "" after a stage that ends the work.

    Parameters
    ----------
    stage : str
        Name of the command that has run.
    study : Path
        The study file, as it was given.
    result : Result
        What the stage found.
    """
    if stage == "run":
        return f"Let an expert decide what raters dispute: crowdqc review {shlex.quote(str(study))}"
    if stage not in STAGES:
        return ""
    info = STAGES[stage]
    line = info.remedy if info.remedy and _unsettled(stage, result) else info.after
    return f"Next: {line.replace('STUDY', shlex.quote(str(study)))}" if line else ""


def _unsettled(stage: str, result: Result) -> bool:
    """Whether the stage found something to correct."""
    if stage == "complete":
        return bool(len(result.shown))
    if stage == "gate":
        return bool((result.table["verdict"] != Verdict.ACCEPT.value).any())
    return result.verdict is Verdict.REJECT


def _by_section(changes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Values of options named ``section__key``, by section and key."""
    sections: dict[str, dict[str, Any]] = {}
    for place, value in changes.items():
        section, _, key = place.partition("__")
        sections.setdefault(section, {})[key] = value
    return sections


simulate = _stage(
    "simulate",
    """From the masks of [truth] and the faults of [simulate], into the folder simulated/ of [study]
    out. Other commands do this by themselves where the study file has a section [simulate].""",
)
check = _stage(
    "check",
    """Writes images.csv, readings.csv, boxes.csv and findings.jsonl.

    Every line that breaks a rule is left out, and is a finding with file, line, value and rule; the
    rest is kept. Exit code 3 where a finding rejects.""",
)
agree = _stage(
    "agree",
    """Writes measurements.csv and raters.csv.""",
)
fuse = _stage(
    "fuse",
    """Writes consensus.csv and the folder consensus/ (YOLO files). Objects that too few raters drew
    are kept as rows with the state no_consensus, and never used as prompts.""",
    _change(
        "--method",
        "fuse.method",
        text="Fusion method.",
        kind=click.Choice(names("crowdqc.fusion")),
    ),
    _viewing("--next-raters", "List the objects to ask one more rater, or an expert, about."),
    _viewing_alias("--ask", "next-raters"),
)
complete = _stage(
    "complete",
    """Writes completeness.csv and todo.csv.

    The first has a row for each case, label and rater who was asked for it; the second is the work
    list of each rater, to which the gate adds.""",
    _viewing("--todo", "Show the work list: what each rater has to redraw."),
)
masks = _stage(
    "masks",
    """Writes masks/CASE.nii.gz, masks/CASE.uncertainty.nii.gz and masks.csv.

    A manifest whose inputs have changed is refused.""",
    _change(
        "--model",
        "masks.model",
        text=f"The model: {', '.join(names('crowdqc.predictors'))}, NAME:FILE, or a checkpoint.",
    ),
    _change(
        "--second-model", "masks.second_model", text="Another model, to see where the two agree."
    ),
    _alias("--also", "masks.second_model"),
    _change("--prompts", "masks.prompts", text="Box prompts per object.", kind=int),
    _change(
        "--prompt-boxes",
        "masks.prompt_boxes",
        text="Boxes that prompts are made from.",
        kind=click.Choice(["fused", "raters", "both"]),
    ),
    _alias("--origins", "masks.prompt_boxes"),
    _change(
        "--jitter",
        "masks.jitter",
        text="How prompts stray.",
        kind=click.Choice(["spread", "training", "sam", "medsam", "sam-u", "fnpc"]),
    ),
    _change(
        "--mode",
        "masks.mode",
        text="SAM and MedSAM as trained (best), or as in the paper.",
        kind=click.Choice(["best", "paper"]),
    ),
    _change("--device", "masks.device", text="Device of torch."),
    ENGINE,
    _viewing("--dry-run", "Draw nothing: count slices and prompts, and estimate time and memory."),
    click.option(
        "--shard",
        type=Shard(),
        help="Draw part I of N of the cases, beside the jobs that draw the others.",
    ),
    _viewing("--merge", "Write the tables once all shards are drawn; draw nothing."),
)
dataset = _stage(
    "dataset",
    """Writes nnUNet_raw/DatasetNNN_*, in the layout of nnU-Net v2.""",
)
evaluate = _stage(
    "evaluate",
    """Writes scores.csv and, filtered against unfiltered, comparison.csv.""",
    ENGINE,
)


@click.command()
@STUDY
@OUT
@ENGINE
@output_options
@guarded
@described
def run(study: Path, out: Path | None, **options: Any) -> None:
    """Ends with the report, and with exit code 3 where the gate rejects."""
    perform("run", study, out=out, **options)
