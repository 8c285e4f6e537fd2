"""Options that commands share, and how a command ends."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crowdqc.cli import COMMANDS
from crowdqc.environment import set_variables
from crowdqc.findings import InputError
from crowdqc.text import visible

if TYPE_CHECKING:
    from crowdqc.stages.base import Run

REFUSED = 3
"""Exit code of a gate that rejects."""
STOPPED = 130
"""Exit code after Ctrl-C, as shells have it."""


class StudyFile(click.Path):
    """The path of a study file; a folder is refused, with the study file in it if there is one."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, as click's own."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if path.is_dir():
            inside = path / "study.toml"
            way = (
                f"did you mean {inside}?"
                if inside.is_file()
                else f"start with: crowdqc init {path}"
            )
            self.fail(f"{path} is a folder, and not a study file; {way}", param, ctx)
        return path


STUDY = click.argument("study", type=StudyFile(), metavar="STUDY.toml")


_Command = TypeVar("_Command", bound=Callable[..., Any])


def _remember(ctx: click.Context, option: click.Parameter, value: bool) -> None:  # noqa: FBT001
    ctx.meta[f"crowdqc.{option.name}"] = value


def OUT(command: _Command) -> _Command:  # noqa: N802 - used as the others are
    """``--out``, and what is done with the results that are there."""
    for flag, text in (
        ("--trust-results", "Take results that were made elsewhere for your own."),
        ("--fresh", "Forget all results, and make those that are needed again."),
    ):
        option = click.option(flag, is_flag=True, expose_value=False, callback=_remember, help=text)
        command = option(command)
    return click.option(
        "--out", type=click.Path(path_type=Path), help="Folder of results instead of [study] out."
    )(command)


def _choose_engine(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.with_resource(set_variables({"CROWDQC_ENGINE": value}))


ENGINE = click.option(
    "--engine",
    metavar="local|ray|HOST:PORT",
    envvar="CROWDQC_ENGINE",
    expose_value=False,
    callback=_choose_engine,
    help="Work here, or on a Ray cluster: that of RAY_ADDRESS, or of this address.",
)

STYLES = ("table", "json", "csv", "spreadsheet")


def output_options(
    command: Callable[..., Any], *, styles: tuple[str, ...] = STYLES
) -> Callable[..., Any]:
    """``--format``, ``--quiet``, ``--verbose`` for a command that shows a table.

    Parameters
    ----------
    command : callable
        Function below ``click.command()``; gets `style`, `quiet` and `verbose`.
    styles : tuple of str
        What ``--format`` may be.
    """
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Say more on stderr."),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr."),
        click.option(
            "--format",
            "style",
            type=click.Choice(styles),
            default="table",
            show_default=True,
            help="Form of the result on stdout; spreadsheet is CSV whose cells are no formulas.",
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
            if isinstance(kwargs.get("study"), Path):
                _refuse_faulty(kwargs["study"])
            return command(*args, **kwargs)
        except InputError as error:
            echo(f"Error: {error}", err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            click.echo(
                "\nStopped. What is done is kept: the same command goes on from it.", err=True
            )
            sys.exit(STOPPED)
        except Exception as error:
            _blame(error)
            raise

    return call


def _blame(error: Exception) -> None:
    """End with a message that names the package, where one of others has failed."""
    from crowdqc.plugins import blamed

    message = blamed(error)
    if message:
        traceback.print_exception(error)
        echo(f"Error: {message}", err=True)
        sys.exit(1)


def _refuse_faulty(study: Path) -> None:
    """Refuse a study file with a mistake before anything is imported that takes long."""
    from crowdqc.config import load_config

    load_config(study)


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Show a text on the terminal, with what the terminal would obey escaped.

    Parameters
    ----------
    text : str
        May hold what a user wrote.
    err : bool
        To stderr instead of stdout.
    nl : bool
        Whether a line break follows.
    """
    click.echo(visible(text), err=err, nl=nl)


def speaker(*, quiet: bool) -> Callable[[str], None]:
    """Function that says a line on stderr, or nothing."""

    def say(text: str) -> None:
        if not quiet:
            echo(text, err=True)

    return say


def open_run(study: Path, *, say: Callable[[str], None], **more: Any) -> Run:
    """As `crowdqc.stages.open_run`; the folder of results is let go when the command ends.

    Parameters
    ----------
    study : Path
        A study file.
    say : callable
        Gets lines for stderr.
    **more : object
        Further arguments of `crowdqc.stages.open_run`.
    """
    from crowdqc.stages import pipeline

    run = pipeline.open_run(study, say=say, **more)
    context = click.get_current_context()
    context.call_on_close(run.store.release)
    if context.meta.get("crowdqc.fresh"):
        run.store.forget()
    elif context.meta.get("crowdqc.trust_results"):
        run.store.trust()
    return run


class Shard(click.ParamType):  # type: ignore[type-arg]  # older clicks have none
    """A part of the cases: ``2/8``."""

    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Its number, from 1, and how many parts there are."""
        number, _, n = str(value).partition("/")
        if not (number.isdecimal() and n.isdecimal() and 1 <= int(number) <= int(n)):
            self.fail(f"{value!r} is no part such as 2/8: the second of eight", param, ctx)
        return int(number), int(n)
