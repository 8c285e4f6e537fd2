"""Commands beside the pipeline: ``weights`` and ``convert``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from crowdqc.cli.options import STUDY, guarded, output_options, speaker


@click.command()
@click.argument("models", nargs=-1)
@click.option("--folder", type=click.Path(path_type=Path), help="Instead of CROWDQC_WEIGHTS.")
@click.option("--verify", is_flag=True, help="Only check the hashes of what is there.")
@output_options
@guarded
def weights(
    models: tuple[str, ...],
    *,
    folder: Path | None,
    verify: bool,
    style: str,
    quiet: bool,
    verbose: bool,  # noqa: ARG001
) -> None:
    """List, download and verify the weights of SAM and MedSAM.

    Without MODELS, lists what there is and what is at hand. With names, downloads what is
    missing, goes on where a download broke, and refuses a file with another hash.
    """
    from crowdqc.stages.weights import fetch, list_weights

    if models and not verify:
        with _Downloads(hidden=quiet) as progress:
            fetch(models, folder, progress=progress)
    table = list_weights(models, folder, verify=verify)
    _show(table, style, "Weights")


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
@click.option("--to", "format_", required=True, help="Format: yolo, coco, cvat, voc, table, ...")
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
    from crowdqc.readers import read_study
    from crowdqc.stages import open_run
    from crowdqc.stages.boxes import findings_table
    from crowdqc.stages.images import known_images
    from crowdqc.writers import convert as write

    say = speaker(quiet=quiet)
    config = open_run(study, say=say).config
    read, findings = read_study(config, known_images(config))
    losses = write(read, format_, folder)
    _show(findings_table([*findings, *losses]), style, "What was not read, or is not written")
    say(f"{len(read.boxes)} boxes written to {folder} as {format_}.")


def _show(table: Any, style: str, title: str) -> None:
    from crowdqc.cli.show import print_table, write_out

    if style == "table":
        print_table(table, title)
    else:
        write_out(table, style)
