"""Job scripts for Slurm: quality control, masks and folds as job arrays, and what joins them."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from crowdqc.config import Config
from crowdqc.findings import InputError
from crowdqc.writing import new_folder

_OPTION = re.compile(r"-{1,2}[A-Za-z][\w-]*([= ][\w@%+,.:/=-]+)?", re.ASCII)
"""An option of sbatch: what may stand in a line of its own without a shell reading it."""
_OR_NO = "|| [ $? -eq 3 ]"
"""A gate that says no is no failure: what it lets through is drawn."""


def write_scripts(
    config: Config,
    folder: Path,
    *,
    shards: int,
    train_shards: int = 0,
    options: Sequence[str] = (),
    out: Path | None = None,
) -> None:
    """Write ``submit.sh`` and what it submits: ``prepare.sh``, ``masks.sh``, ``merge.sh``.

    With `train_shards` also ``plan.sh``, ``train.sh`` and ``score.sh``.

    Parameters
    ----------
    config : Config
        The study file.
    folder : Path
        Where to: a folder that is not there yet, or is empty.
    shards : int
        Number of jobs that draw masks, and measure their risk.
    train_shards : int
        Number of jobs that train folds of the datasets; 0: nothing is trained.
    options : sequence of str
        Options of sbatch for these.
    out : Path, optional
        Folder of results instead of ``[study] out``.

    Raises
    ------
    InputError
        If an option is none, or the folder cannot be written or is not empty.
    """
    for option in options:
        if not _OPTION.fullmatch(option):
            raise InputError(f"{option!r} is no option of sbatch, such as --gpus=1.")
    words = [str(config.file.absolute()), *(["--out", str(out.absolute())] if out else [])]
    study = shlex.join(words)
    scripts = {
        "prepare": _script(f"crowdqc gate {study} {_OR_NO}"),
        "masks": _script(
            f'crowdqc masks {study} --shard "$SLURM_ARRAY_TASK_ID/{shards}"',
            [f"--array=1-{shards}", *options],
        ),
        "merge": _script(f"crowdqc masks {study} --merge && crowdqc run {study} {_OR_NO}"),
    }
    if train_shards:
        part = f'--shard "$SLURM_ARRAY_TASK_ID/{train_shards}"'
        scripts |= {
            "plan": _script(f"crowdqc dataset {study} && crowdqc train {study} --prepare"),
            "train": _script(
                f"crowdqc train {study} {part}", [f"--array=1-{train_shards}", *options]
            ),
            "score": _script(f"crowdqc train {study} --merge && crowdqc report {study}"),
        }
    with new_folder(folder) as temporary:
        for name, text in {**scripts, "submit": _submit(config.study.name, scripts)}.items():
            (temporary / f"{name}.sh").write_text(text, encoding="utf-8", newline="\n")


def _script(command: str, options: Sequence[str] = ()) -> str:
    lines = [f"#SBATCH {option}" for option in options]
    ours = f'crowdqc() {{ {shlex.quote(sys.executable)} -m crowdqc "$@"; }}'
    return "\n".join(["#!/bin/sh", *lines, ours, command, ""])


def _submit(study: str, scripts: Mapping[str, str]) -> str:
    """Submit each script with sbatch, to start when the one before has ended well."""
    lines, after = ["#!/bin/sh", "set -e", 'cd "$(dirname "$0")"'], ""
    for name in scripts:
        words = f"sbatch --parsable --job-name={shlex.quote(f'{study}-{name}')}{after} {name}.sh"
        lines.append(f"{name}=$({words})")
        after = f' --dependency=afterok:"${{{name}%%;*}}"'
    lines.append(f'echo "Submitted: {" ".join(f"${name}" for name in scripts)}"')
    return "\n".join([*lines, ""])
