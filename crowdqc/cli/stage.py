"""Commands that run one stage of the pipeline each, and ``run``, which runs them all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from crowdqc.cli.options import OUT, REFUSED, STUDY, guarded, output_options, speaker
from crowdqc.findings import Verdict

TITLES = {
    "simulate": "Simulated boxes",
    "check": "Findings",
    "agree": "Raters",
    "fuse": "Fused boxes",
    "complete": "Not complete",
    "gate": "Verdicts",
    "masks": "Masks",
    "dataset": "Datasets",
    "evaluate": "Dice against the truth",
    "report": "Report",
    "run": "Report",
}


def _stage(name: str, text: str) -> click.Command:
    """The command of one stage."""

    @click.command(name, help=text, short_help=text.splitlines()[0])
    @STUDY
    @OUT
    @output_options
    @guarded
    def command(study: Path, out: Path | None, **options: Any) -> None:
        perform(name, study, out, **options)

    return command


def perform(
    name: str, study: Path, out: Path | None, *, style: str, quiet: bool, verbose: bool
) -> None:
    """Run a stage (or ``"run"``, all), show its result, leave with the exit code it asks for."""
    from crowdqc.cli.show import print_table, write_out
    from crowdqc.stages import PIPELINE, open_run, run_all

    say = speaker(quiet=quiet)
    opened = open_run(study, out=out, say=say)
    result = run_all(opened) if name == "run" else PIPELINE.run(name, opened)
    if style == "table":
        print_table(result.shown, TITLES[name])
    else:
        write_out(result.table, style)
    for finding in result.findings if verbose else []:
        say(f"{finding.severity.value}: {finding.message}")
    say(result.summary)
    if result.verdict is Verdict.REJECT:
        sys.exit(REFUSED)


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
)
complete = _stage(
    "complete",
    """Find what is missing: gaps, truncation, unread cases.

    Writes completeness.csv: one row for each case, label and rater who was asked for it.""",
)
gate = _stage(
    "gate",
    """Judge raters, cases and labels by a policy; exit code 3 is no.

    Writes manifest.json, the only door to masks: verdicts with reasons, the boxes that may be
    used, and hashes of everything that they come from.""",
)
masks = _stage(
    "masks",
    """Draw masks with an uncertainty from the accepted boxes.

    Writes masks/CASE.nii.gz, masks/CASE.uncertainty.nii.gz and masks.csv. Refuses a manifest whose
    inputs have changed.""",
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
)
report = _stage(
    "report",
    """Write the report, one HTML file.

    Writes report.html from what the other stages left in the folder of results.""",
)


@click.command()
@STUDY
@OUT
@output_options
@guarded
def run(study: Path, out: Path | None, **options: Any) -> None:
    """Run every stage that is not up to date.

    Ends with the report, and with exit code 3 where the gate says no.
    """
    perform("run", study, out, **options)
