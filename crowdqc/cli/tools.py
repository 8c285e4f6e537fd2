"""Commands beside the pipeline: ``weights`` and ``convert``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from crowdqc.cli.options import STUDY, guarded, open_run, output_options, speaker
from crowdqc.plugins import names


@click.command()
@click.argument("models", nargs=-1)
@click.option("--folder", type=click.Path(path_type=Path), help="Instead of CROWDQC_WEIGHTS.")
@output_options
@guarded
def weights(
    models: tuple[str, ...],
    *,
    folder: Path | None,
    style: str,
    quiet: bool,
    verbose: bool,  # noqa: ARG001
) -> None:
    """List, download and verify the weights of SAM and MedSAM.

    Lists what there is, and whether the files at hand have the published hashes. With MODELS,
    downloads those first; a broken download goes on, a file with another hash is refused.
    """
    from crowdqc.cli.show import print_table, write_out
    from crowdqc.stages.weights import fetch_weights, weights_table

    if models:
        with _Downloads(hidden=quiet) as progress:
            fetch_weights(models, folder, progress=progress)
    table = weights_table(folder)
    if style == "table":
        print_table(table[["model", "file", "megabytes", "state"]], "Weights")
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
    type=click.Choice(names("crowdqc.formats")),
    required=True,
    help="Format of the annotations.",
)
@output_options
@guarded
def convert(
    study: Path,
    folder: Path,
    *,
    format_: str,
    style: str,
    quiet: bool,
    verbose: bool,  # noqa: ARG001
) -> None:
    """Write a study in another format.

    Writes the annotations and a study file that reads them into FOLDER, which must be new or
    empty, and lists what the format cannot say.
    """
    from crowdqc.cli.show import print_table, write_out
    from crowdqc.formats import read_study
    from crowdqc.formats.conversion import convert as write
    from crowdqc.stages.check import findings_table
    from crowdqc.stages.images import known_images

    say = speaker(quiet=quiet)
    config = open_run(study, say=say).config
    read, findings = read_study(config, known_images(config))
    losses = write(read, format_, folder)
    table = findings_table([*findings, *losses])
    if style == "table":
        print_table(table[["severity", "check", "message"]], "What was not read, or is not written")
    else:
        write_out(table, style)
    say(f"{len(read.boxes)} boxes written to {folder} as {format_}.")
