"""``crowdqc adapt``: a model of masks learns from expert cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from crowdqc.catalogue import STAGES
from crowdqc.cli.options import OUT, STUDY, described, guarded, open_run, output_options, speaker


@click.command()
@STUDY
@OUT
@click.option("--model", help="The model that is to learn. Instead of [masks] model.")
@click.option(
    "--method",
    type=click.Choice(["decoder", "lora"]),
    help="What of a SAM learns. Instead of [adapt] method.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Instead of [adapt] steps.")
@click.option("--device", help="Device of torch. Instead of [masks] device.")
@output_options
@guarded
@described
def adapt(
    study: Path,
    *,
    out: Path | None,
    model: str | None,
    device: str | None,
    **options: Any,
) -> None:
    """Writes models/NAME.safetensors, or NAME.json, and NAME.card.json beside it.

    [masks] model takes the path of the former. Cases of [dataset] test are not looked at. Of the
    others with an expert mask ([truth] path) some are held out, three at least; where the model
    does not beat what it was on these, nothing is written and the exit code is 3.
    """
    from crowdqc.cli.progress import watcher
    from crowdqc.cli.stage import finish
    from crowdqc.stages.adapt import adapt as learn
    from crowdqc.stages.pipeline import PIPELINE

    say = speaker(quiet=options["quiet"])
    changes = {
        "masks": {"model": model, "device": device},
        "adapt": {name: options.pop(name) for name in ("method", "steps")},
    }
    watch = watcher(say, quiet=options["quiet"])
    run = open_run(study, out=out, changes=changes, say=say, watch=watch)
    run.store.claim()
    PIPELINE.ensure("fuse", run)
    finish(learn(run), STAGES["adapt"].heading, **options)
