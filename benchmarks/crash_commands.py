"""Kill the commands that write beside the stages of a run, and give each again.

    python benchmarks/crash_commands.py                    # 10 kills of each command
    python benchmarks/crash_commands.py --kills 3 --command tasks --command receive

Each command is given in a copy of one finished study and killed (SIGKILL) at a moment chosen at
random among those at which it touches a file. What lies beside the results is then as before, or as
after the whole command; and where it is as before, the same command, given again, ends with every
byte of an undisturbed one. Signatures and records that name inodes are left out.
"""

import argparse
import functools
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from click.testing import CliRunner

from benchmarks.crash import contents, in_child, make_study
from crowdqc.cli import main as crowdqc

COMMANDS = {
    "assign": ("assign", "{study}", "--join", "late"),
    "audit": ("audit", "{study}"),
    "convert": ("convert", "{study}", "{there}", "--to", "cvat", "--pictures"),
    "convert consensus": ("convert", "{study}", "{there}", "--to", "coco", "--what", "consensus"),
    "export bids": ("export", "{study}", "{there}", "--to", "bids"),
    "export croissant": ("export", "{study}", "{there}", "--to", "croissant"),
    "export fiftyone": ("export", "{study}", "{there}", "--to", "fiftyone"),
    "export nrrd": ("export", "{study}", "{there}", "--to", "nrrd"),
    "plan": ("plan", "{study}"),
    "receive": ("receive", "{study}", "{package}", "--empty", "nothing", "--unasked"),
    "risk": ("risk", "{study}", "--scores", "{scores}"),
    "slurm": ("slurm", "{study}", "{there}", "--shards", "2"),
    "tasks": ("tasks", "{study}"),
}
ASSIGNED = '\n[assignments]\npath = "assignments.csv"\n'


def call(name, folder):
    """One command on the study of a folder, in this process."""
    packages = sorted(folder.glob("packages/round*/*/"))
    places = {"study": folder / "study.toml", "there": folder / "there"}
    places["scores"] = folder / "dice.csv"
    places["package"] = packages[0] if packages else ""
    words = [word.format(**places) for word in COMMANDS[name]]
    result = CliRunner().invoke(crowdqc, [*words, *([] if name == "slurm" else ["--quiet"])])
    if result.exit_code not in (0, 3):
        raise RuntimeError(f"{' '.join(words)}: exit code {result.exit_code}: {result.output}")


def prepare(folder):
    """A finished small study whose cases are assigned."""
    file = make_study(folder, small=True)
    raters = sorted(path.name for path in (folder / "boxes").iterdir())
    cases = sorted({path.name.partition("-")[0] for path in folder.rglob("abdomen*.txt")})
    rows = [f"{rater},{case}" for rater in raters for case in cases]
    (folder / "assignments.csv").write_text("\n".join(["rater,case", *rows]) + "\n")
    file.write_text(file.read_text() + ASSIGNED)
    if (code := CliRunner().invoke(crowdqc, ["run", str(file), "--quiet"]).exit_code) not in (0, 3):
        sys.exit(f"run: exit code {code}")
    scores = pd.read_csv(folder / "out" / "scores.csv")
    scores.loc[::3, "dice"] *= 0.5  # a calibration needs some bad masks
    scores[scores["set"] == "filtered"].to_csv(folder / "dice.csv", index=False)
    return folder


def ask(study, folder):
    """The study after `tasks`, with a box drawn on each picture of its packages."""
    shutil.copytree(study, folder)
    call("tasks", folder)
    for picture in folder.glob("packages/round*/*/images/*"):
        labels = picture.parents[1] / "labels"
        labels.mkdir(exist_ok=True)
        (labels / f"{picture.stem}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    return folder


def beside(folder, *, results):
    """Files of a study, with or without the folder of its results."""
    return {
        name: data
        for name, data in contents(folder).items()
        if "/.part-" not in f"/{name}" and not name.endswith((".hmac", "crowdqc.json", ".lock"))
        if results or not name.startswith("out/")
    }


def survive(name, study, rng, *, kills):
    """Kill one command so often; how many moments it has. Ends at the first loss."""
    with tempfile.TemporaryDirectory(prefix="crash-") as place:
        folder, counter = Path(place) / "study", Path(place) / "moments"
        work = functools.partial(call, name, folder)
        shutil.copytree(study, folder)
        before = beside(folder, results=False)
        in_child(work, counter=counter, out=folder)
        after, whole = beside(folder, results=False), beside(folder, results=True)
        if after == before and whole == beside(study, results=True):
            sys.exit(f"{name}: writes nothing")
        moments = int(counter.read_text())
        for limit in rng.integers(1, moments + 1, kills).tolist():
            shutil.rmtree(folder)
            shutil.copytree(study, folder)
            if not in_child(work, limit=limit, out=folder):
                sys.exit(f"{name}: was not killed at moment {limit} of {moments}")
            left = beside(folder, results=False)
            if left not in (before, after):
                sys.exit(f"{name}: half a result after moment {limit}")
            if left == before:  # else it was done, and a second one would be refused
                in_child(work)
            if wrong := beside(folder, results=True).items() ^ whole.items():
                sys.exit(f"{name}: killed at {limit}, differs: {sorted({n for n, _ in wrong})}")
    return moments


def main():
    """Print a row for each command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--command", choices=COMMANDS, action="append")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| command | moments | kills survived |\n|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="crash-") as place:
        study = prepare(Path(place) / "study")
        packages = ask(study, Path(place) / "asked")
        for name in options.command or COMMANDS:
            rng = np.random.default_rng([options.seed, *name.encode()])
            start = packages if name == "receive" else study
            moments = survive(name, start, rng, kills=options.kills)
            print(f"| `{name}` | {moments} | {options.kills} |", flush=True)


if __name__ == "__main__":
    main()
