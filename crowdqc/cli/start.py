"""Commands that start a study: ``init``, ``demo``, ``simulate``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from crowdqc.cli.options import guarded
from crowdqc.findings import InputError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write.")
@click.option("--name", help="Name of the study; the folder's where it is not given.")
@guarded
def init(folder: Path, output: Path | None, name: str | None) -> None:
    """Start a study file by looking at FOLDER.

    Writes FOLDER/study.toml (or --output): a commented file with everything that names and
    contents of the files tell. What it cannot know stands there as a comment to fill in.
    """
    from crowdqc.readers.guess import guess_study, render_study

    guess = guess_study(folder)
    target = output or folder / "study.toml"
    if target.exists():
        raise InputError(f"{target}: is there already and is not overwritten; name another file.")
    prefix = Path(os.path.relpath(folder, target.parent)).as_posix()
    if prefix != ".":
        guess.path = f"{prefix}/{guess.path}"
        guess.image_path = guess.image_path and f"{prefix}/{guess.image_path}"
    target.parent.mkdir(parents=True, exist_ok=True)
    plain = "".join(c if c.isalnum() or c in "._+-" else "_" for c in folder.resolve().name)
    target.write_text(render_study(guess, name=name or plain or "study"), encoding="utf-8")
    click.echo(f"Wrote {target}. Look it over, then: crowdqc check {target}")
