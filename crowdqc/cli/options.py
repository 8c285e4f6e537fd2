"""Options that commands share, and how a command ends."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crowdqc.cli import COMMANDS
from crowdqc.findings import InputError

if TYPE_CHECKING:
    from crowdqc.stages.base import Run

REFUSED = 3
"""Exit code of a gate that says no."""
STOPPED = 130
"""Exit code after Ctrl-C, as shells have it."""

STUDY = click.argument(
    "study", type=click.Path(path_type=Path, dir_okay=False), metavar="STUDY.toml"
)

OUT = click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of results instead of [study] out."
)

ENGINE = click.option(
    "--engine",
    "engine__name",
    type=click.Choice(["local", "ray"]),
    help="Work here, or on the machines of a Ray cluster. Instead of [engine] name.",
)

STYLES = ("table", "json", "csv")


def output_options(
    command: Callable[..., Any], *, styles: tuple[str, ...] = STYLES
) -> Callable[..., Any]:
    """``--format``, ``--quiet``, ``--verbose`` for a command that shows a table."""
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Say more on stderr."),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr."),
        click.option(
            "--format",
            "style",
            type=click.Choice(styles),
            default="table",
            show_default=True,
            help="Form of the result on stdout.",
        ),
    ):
        command = option(command)
    return command


def described(command: Callable[..., Any]) -> Callable[..., Any]:
    """Put what the table of commands says before the docstring of a command: its help."""
    command.__doc__ = f"{COMMANDS[command.__name__][1]}\n\n    {command.__doc__}"
    return command


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a user's mistake into a message on stderr and exit code 2, and Ctrl-C into 130."""

    @functools.wraps(command)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except InputError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            click.echo(
                "\nStopped. What is done is kept: the same command goes on from it.", err=True
            )
            sys.exit(STOPPED)

    return call


def speaker(*, quiet: bool) -> Callable[[str], None]:
    """Function that says a line on stderr, or nothing."""

    def say(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    return say


def open_run(study: Path, *, say: Callable[[str], None], **more: Any) -> Run:
    """As `crowdqc.stages.open_run`; the folder of results is let go when the command ends."""
    from crowdqc.stages import pipeline

    run = pipeline.open_run(study, say=say, **more)
    click.get_current_context().call_on_close(run.store.release)
    return run
