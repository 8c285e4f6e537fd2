"""Commands that start a study: ``init`` and ``demo``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import click

from crowdqc.cli.options import described, echo, guarded, output_options
from crowdqc.findings import InputError
from crowdqc.writing import atomic


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write.")
@click.option("--name", help="Name of the study; the folder's where it is not given.")
@guarded
@described
def init(folder: Path, output: Path | None, name: str | None) -> None:
    """Writes FOLDER/study.toml (or --output).

    A commented file with everything that can be inferred from the names and contents of the files;
    what cannot be known is a comment to fill in.
    """
    from crowdqc.config.toml import NAME_MAX
    from crowdqc.formats.guess import guess_study, render_study

    guess = guess_study(folder, suit_window=_window, is_mask=_is_mask)
    target = output or folder / "study.toml"
    if target.exists() or target.is_symlink():
        raise InputError(f"{target}: is there already and is not overwritten; name another file.")
    prefix = Path(os.path.relpath(folder, target.parent)).as_posix()
    if prefix != ".":
        guess.path = f"{prefix}/{guess.path}"
        guess.image_path = guess.image_path and f"{prefix}/{guess.image_path}"
    plain = "".join(c if c.isalnum() or c in "._+-" else "_" for c in folder.resolve().name)
    text = render_study(guess, name=name or plain.lstrip(".")[:NAME_MAX] or "study")
    with atomic(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
    for remark in guess.remarks:
        echo(remark, err=True)
    echo(f"Wrote {target}. Look it over, then: crowdqc check {target}")


def _window(volume: Path) -> str:
    """The line of a study file that suits the intensities of a volume, if it can be read."""
    from crowdqc.config import to_toml
    from crowdqc.volumes import read_volume, suggest_window

    try:
        window = suggest_window(read_volume(volume)[0])
    except InputError:
        return ""
    values = to_toml(window.model_dump(exclude_none=True))
    return f"window  = {values}   # as the values of {volume.name} suggest"


def _is_mask(volume: Path) -> bool:
    """Whether a volume holds labels, if it can be read."""
    from crowdqc.volumes import looks_like_labels, read_volume

    try:
        return looks_like_labels(read_volume(volume)[0])
    except InputError:
        return False


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default="crowdqc-demo")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the study.")
@click.option("--force", is_flag=True, help="Replace FOLDER if a demo made it.")
@output_options
@guarded
@described
def demo(folder: Path, *, seed: int, force: bool, style: str, quiet: bool, verbose: bool) -> None:
    """Prints the path of the report.

    Four CT-like volumes with five organs and five simulated raters with known faults, from boxes to
    the report, with the model that crowdqc brings with it.
    """
    from crowdqc.cli.stage import perform
    from crowdqc.simulate.demo import is_demo, make_demo

    if is_demo(folder):
        if not force:
            raise InputError(f"{folder}: holds a demo already; --force replaces it.")
        shutil.rmtree(folder)
    study = make_demo(folder, seed=seed)
    perform("run", study, style=style, quiet=quiet, verbose=verbose)
