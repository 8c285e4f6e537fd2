"""The command line: one group, each command loaded only when it is called.

A command parses its arguments, calls one function, shows the result and sets the exit code. The
table below is all that ``crowdqc --help`` reads, so that it neither imports pandas nor torch.

Exit codes: 0 done or accepted; 2 wrong usage or bad input; 3 rejected by the gate, by ``check`` or
by another test of the data; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import importlib
from typing import Any

import click

import crowdqc
from crowdqc.catalogue import STAGES

_STUDY_COMMANDS = {
    "simulate": "stage:simulate",
    "check": "stage:check",
    "agree": "stage:agree",
    "fuse": "stage:fuse",
    "complete": "stage:complete",
    "gate": "study:gate",
    "masks": "stage:masks",
    "risk": "study:risk",
    "audit": "study:audit",
    "adapt": "adapt:adapt",
    "dataset": "stage:dataset",
    "train": "train:train",
    "evaluate": "stage:evaluate",
    "report": "study:report",
}
"""Command of a stage -> where it is: module of this package, function."""

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("start:init", "Start a study file by looking at a folder of annotations."),
    "demo": ("start:demo", "Make a small synthetic study and run everything on it."),
    "run": ("stage:run", "Run every stage that is not up to date."),
    "assign": ("rounds:assign", "Deal cases to raters, or add a rater who joins late."),
    "tasks": ("rounds:tasks", "Make a work package for each rater who has something to do."),
    "receive": ("rounds:receive", "Take in what came back of a work package."),
    "status": ("rounds:status", "Show who owes what, how far it has come, and what changed."),
    **{name: (place, STAGES[name].does) for name, place in _STUDY_COMMANDS.items()},
    "compare": ("tools:compare", "Compare two sets of scores by paired statistics."),
    "review": ("review:review", "Let an expert decide what raters dispute, in a browser."),
    "plan": ("study:plan", "Estimate how many raters, or how many slices, a study needs."),
    "weights": (
        "tools:weights",
        "List, download and verify the weights of SAM, SAM 2.1, MedSAM and MedSAM2.",
    ),
    "convert": ("tools:convert", "Write a study in another format."),
    "slurm": ("tools:slurm", "Write job scripts for Slurm: masks as an array, then the rest."),
    "export": ("tools:export", "Write results for an archive or in a standard."),
}
"""Command -> where it is, and what it does."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names: first how a study is started, then its stages in their order, then the rest."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, imported now; `None` if there is none."""
        if cmd_name not in COMMANDS:
            return None
        module, function = COMMANDS[cmd_name][0].split(":")
        try:
            room = importlib.import_module(f"crowdqc.cli.{module}")
        except ValueError as error:  # an InputError: options list what is installed
            ctx.fail(str(error))
        command: click.Command = getattr(room, function)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """As click does; what a shell made of names of files is shown escaped."""
        from crowdqc.text import visible

        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            vars(error)["message"] = visible(error.message)  # which click calls final
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest command where there is none of the name."""
        from crowdqc.text import nearest

        near = nearest(args[0], COMMANDS)
        if args[0] not in COMMANDS and near:
            ctx.fail(f"No such command '{args[0]}'; did you mean '{near}'?")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(crowdqc.__version__, prog_name="crowdqc")
def main() -> None:
    """Quality control and label fusion of crowd-sourced medical image annotations.

    One study file (TOML) drives everything; `crowdqc init FOLDER` writes the first one. Each
    command does one stage, after those that it needs, and writes into the folder [study] out.

    Exit codes: 0 done or accepted; 2 wrong usage or bad input; 3 rejected by the gate, by check
    or by another test of the data; 130 stopped by Ctrl-C.
    """
