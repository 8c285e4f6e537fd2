"""``crowdqc train``: nnU-Net on the datasets of a study, here or on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from crowdqc.catalogue import STAGES
from crowdqc.cli.options import (
    ENGINE,
    OUT,
    STUDY,
    Shard,
    described,
    echo,
    guarded,
    open_run,
    output_options,
    speaker,
)
from crowdqc.config.methods import DatasetName

Command = Callable[..., Any]
SETTINGS = ("epochs", "iterations", "configuration", "device", "workers")


def _fold(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> Any:
    """Folds as numbers, or the word all."""
    for word in value:
        if word != "all" and not word.isdecimal():
            raise click.BadParameter(
                f"must be the number of a fold, such as 0, or 'all'; got {word!r}.",
                context,
                parameter,
            )
    return tuple(word if word == "all" else int(word) for word in value)


def _action(name: str, text: str) -> Callable[[Command], Command]:
    return click.option(f"--{name}", "action", flag_value=name, help=text)


@click.command()
@STUDY
@OUT
@click.option(
    "--set",
    "sets",
    multiple=True,
    type=click.Choice(get_args(DatasetName)),
    help="Dataset to train on; may be repeated.",
)
@click.option("--fold", "folds", multiple=True, callback=_fold, help="Fold, or all; repeatable.")
@_action("check", "Only look for what would break or spoil the training.")
@_action("prepare", "Only plan and preprocess.")
@_action("print", "Only print one command per fold, for a scheduler.")
@_action("test", "Only predict and score the test cases.")
@click.option(
    "--shard",
    type=Shard(),
    help="Train part I of N of the folds, beside the jobs that train the others.",
)
@_action("merge", "Score the test cases once all shards are trained; train nothing.")
@click.option("--epochs", type=int, help="Instead of [train] epochs.")
@click.option("--iterations", type=int, help="Instead of [train] iterations (per epoch).")
@click.option(
    "--configuration",
    type=click.Choice(["2d", "3d_fullres", "3d_lowres"]),
    help="Instead of [train] configuration.",
)
@click.option(
    "--device", type=click.Choice(["cuda", "cpu", "mps"]), help="Instead of [train] device."
)
@click.option("--workers", type=int, help="Instead of [train] workers.")
@click.option(
    "--gpus",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="GPUs that share a fold.",
)
@ENGINE
@output_options
@guarded
@described
def train(study: Path, *, out: Path | None, style: str, quiet: bool, **options: Any) -> None:
    """Continues a training that was stopped, and does not repeat what is done.

    On a cluster, --print gives the lines to submit: the preparations first, then the folds, which
    may run at the same time.
    """
    from crowdqc.cli.stage import finish
    from crowdqc.stages import training

    settings = {name: options[name] for name in SETTINGS}
    request = training.TrainingRequest(
        action=options["action"] or "train",
        sets=options["sets"],
        folds=options["folds"],
        shard=options["shard"],
        gpus=options["gpus"],
        settings=settings,
    )
    run = open_run(study, out=out, changes={"train": settings}, say=speaker(quiet=quiet))
    result = training.train(run, request)
    if style == "table" and request.action == "print":
        echo("\n".join(result.table["command"]))
        style = request.action
    words = {"quiet": quiet, "verbose": options["verbose"]}
    finish(result, STAGES["train"].heading, style=style, **words)
