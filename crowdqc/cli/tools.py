"""Commands beside the pipeline: ``weights``, ``convert``, ``export``, ``slurm``, ``compare``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from crowdqc.catalogue import EXPORTS
from crowdqc.cli.options import (
    OUT,
    STUDY,
    described,
    echo,
    guarded,
    open_run,
    output_options,
    speaker,
)
from crowdqc.findings import InputError
from crowdqc.plugins import names
from crowdqc.text import count

if TYPE_CHECKING:
    from crowdqc.stages.base import Run

What = Literal["raters", "consensus"]


@click.command()
@click.argument("models", nargs=-1)
@click.option("--folder", type=click.Path(path_type=Path), help="Instead of CROWDQC_WEIGHTS.")
@output_options
@guarded
@described
def weights(
    models: tuple[str, ...],
    *,
    folder: Path | None,
    style: str,
    quiet: bool,
    verbose: bool,  # noqa: ARG001
) -> None:
    """Lists the published weights, and whether the files here have the known hashes.

    With MODELS, downloads those first; an interrupted download is continued, and a file with
    another hash is refused.
    """
    from crowdqc.cli.output import print_table, write_out
    from crowdqc.stages.weights import fetch_weights, weights_table

    if models:
        with _Downloads(hidden=quiet) as progress:
            fetch_weights(models, folder, progress=progress)
    table = weights_table(folder)
    if style == "table":
        print_table(table[["model", "file", "megabytes", "licence", "state"]], "Weights")
    else:
        write_out(table, style)


class _Downloads:
    """A progress bar on stderr, shown on a terminal only."""

    def __init__(self, *, hidden: bool) -> None:
        from rich.console import Console

        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            console=console,
            disable=hidden or not console.is_terminal,
        )

    def __enter__(self) -> Callable[[str], Callable[[int, int], None]]:
        self._bar.start()

        def start(name: str) -> Callable[[int, int], None]:
            task = self._bar.add_task(name)
            return lambda have, total: self._bar.update(task, completed=have, total=total)

        return start

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


@click.command()
@STUDY
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "format_",
    type=click.Choice([*names("crowdqc.formats"), "decisions"]),
    required=True,
    help="Format of the annotations; decisions adds them, as an expert's, to the decisions.csv of "
    "the study file that stands in the place of FOLDER.",
)
@click.option(
    "--what",
    type=click.Choice(["raters", "consensus"]),
    default="raters",
    show_default=True,
    help="The boxes of all raters, or the fused boxes that may be used, each with its score.",
)
@click.option("--pictures", is_flag=True, help="Write the picture of each slice beside, as PNG.")
@output_options
@guarded
@described
def convert(
    study: Path,
    folder: Path,
    *,
    format_: str,
    what: What,
    pictures: bool,
    **show: Any,
) -> None:
    """Lists what was not read and what the format cannot hold.

    Writes the annotations, and a study file that reads them, into FOLDER, which must be new or
    empty. In Label Studio the consensus is a prediction; those of the lowest score come first.
    """
    from crowdqc.cli.output import print_table, write_out
    from crowdqc.stages.check import findings_table
    from crowdqc.stages.convert import convert as write

    say = speaker(quiet=show["quiet"])
    run = open_run(study, say=say)
    if format_ == "decisions":
        _add_decisions(run, folder, say=say)
        return
    written, findings = write(run, format_, folder, what=what, pictures=pictures)
    table = findings_table(findings)
    if show["style"] == "table":
        shown = table[["severity", "check", "case", "rater", "message"]].dropna(axis=1, how="all")
        print_table(shown, "What was not read, or is not written")
    else:
        write_out(table, show["style"])
    say(f"{count(len(written.boxes), 'box')} written to {folder} as {format_}.")


def _add_decisions(expert: Run, study: Path, *, say: Callable[[str], None]) -> None:
    """Add the annotations of one study to the decisions of another."""
    from crowdqc.formats import read_study
    from crowdqc.review.expert import add_expert
    from crowdqc.stages.images import known_images

    read, findings = read_study(expert.config, known_images(expert.config))
    target = open_run(study, say=say)
    n = add_expert(target, read)
    for finding in findings:
        say(f"{finding.severity.value}: {finding.message}")
    say(f"{count(n, 'decision')} added to {target.config.resolve('decisions.csv')}.")


@click.command()
@STUDY
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "target",
    type=click.Choice(list(EXPORTS)),
    required=True,
    help="Archive or standard.",
)
@OUT
@output_options
@guarded
@described
def export(
    study: Path,
    folder: Path,
    *,
    target: str,
    out: Path | None,
    style: str,
    quiet: bool,
    verbose: bool,  # noqa: ARG001
) -> None:
    """Lists what the target cannot hold, and what had to be assumed.

    Writes into FOLDER, which must be new or empty: masks for bids, nrrd, dicom-seg (labels) and
    dicom-seg-fractional (probabilities); boxes for fiftyone; tables for croissant. Annotation
    formats are written by 'crowdqc convert'.
    """
    from crowdqc.cli.output import print_table, write_out
    from crowdqc.stages.check import findings_table
    from crowdqc.stages.export import export_study

    say = speaker(quiet=quiet)
    table = findings_table(export_study(open_run(study, out=out, say=say), target, folder))
    if style == "table":
        print_table(table[["message"]], "What is not written, or was assumed")
    else:
        write_out(table, style)
    say(f"Written to {folder} as {target}.")


@click.command()
@STUDY
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--shards", type=click.IntRange(min=1), required=True, help="Jobs that draw masks.")
@click.option(
    "--train-shards",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Jobs that train folds; 0 trains nothing.",
)
@click.option(
    "--option",
    "options",
    multiple=True,
    help="Option of sbatch for the jobs of arrays, such as --gpus=1; may be repeated.",
)
@OUT
@guarded
@described
def slurm(
    study: Path, folder: Path, *, options: tuple[str, ...], out: Path | None, **shards: int
) -> None:
    """Writes prepare.sh, masks.sh, merge.sh and submit.sh into FOLDER, which must be new or empty.

    With --train-shards also plan.sh, train.sh and score.sh, for nnU-Net.

    'sh FOLDER/submit.sh' submits them with sbatch, each to start after the one before has ended.
    Nothing is submitted here.
    """
    from crowdqc.stages.slurm import write_scripts

    config = open_run(study, out=out, say=echo).config
    write_scripts(config, folder, options=options, out=out, **shards)
    echo(f"Written to {folder}. Submit: sh {folder / 'submit.sh'}")


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--on", multiple=True, required=True, help="Column that pairs rows; may be repeated.")
@click.option("--by", help="Column of one file whose two values are the two sets.")
@click.option("--label", help="Column that says what a row is about (tables in long form).")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the bootstrap.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="CSV file to write as well.")
@output_options
@guarded
@described
def compare(  # noqa: PLR0913
    files: tuple[Path, ...],
    *,
    on: tuple[str, ...],
    by: str | None,
    label: str | None,
    seed: int,
    output: Path | None,
    style: str,
    quiet: bool,
    verbose: bool,
) -> None:
    """Pairs the rows of two sets, and compares every numeric column that both have.

    A.csv B.csv --on path pairs the rows of two files by a column; F.csv --by model --on path does
    it for two groups of one file.
    """
    from crowdqc.cli.output import finding_line, print_table, write_out
    from crowdqc.compare import compare_files
    from crowdqc.csv_files import to_csv
    from crowdqc.writing import atomic

    if output is not None and output.resolve() in {file.resolve() for file in files}:
        raise InputError(f"{output}: is read, and is not overwritten; name another file.")
    table, findings = compare_files(files, on=on, by=by, label=label, seed=seed)
    if output is not None:
        with atomic(output) as temporary:
            temporary.write_text(to_csv(table), encoding="utf-8", newline="")
    if style == "table":
        shown = ["label", "n", "mean_a", "mean_b", "difference", "low", "high", "p", "p_holm"]
        sets = " and ".join(table[["a", "b"]].iloc[0]) if len(table) else ""
        print_table(
            table[shown].rename(columns={"difference": "diff"}), f"Paired differences: {sets}"
        )
    else:
        write_out(table, style)
    say = speaker(quiet=quiet)
    for finding in findings:
        if verbose or finding.severity.rank:
            say(finding_line(finding))
