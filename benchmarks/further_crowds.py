"""Further crowds with a known truth, judged through the command line; prints Markdown.

    python benchmarks/further_crowds.py CHECKS --crowdqc .venv/bin/crowdqc [NAME ...] [--seeds 3]

CHECKS is the folder of the project notes that holds ``crowds.py`` and ``scenarios.py``: raters are
drawn, and results scored, as there. The crowds are functions of the modules ``further_crowds_*``;
each says what is wrong with whom, and what a right judgement is.

Three things are printed: the table of ``crowds.py``; what was said of the raters, with the number
of studies; and what differs from the right judgement. The exit code is 1 where a command failed.
"""

import argparse
import importlib
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

LEAST, HARM = 0.9, 0.005  # share that intervals of .95 should hold; F1 that a gate may cost


def main():
    asked = options()
    sys.path.insert(0, str(asked.checks.resolve()))
    crowds, scenarios = importlib.import_module("crowds"), all_crowds()
    scenarios = crowds.chosen(scenarios, asked.names)
    said, differs, failed = [], [], False
    print(crowds.head(), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        keep, seeds = asked.keep or Path(scratch), range(asked.seeds)
        made = crowds.run_all(scenarios, asked.crowdqc, seeds, jobs=asked.jobs, keep=keep)
        for name, row, studies in made:
            print(crowds.show(name, row), flush=True)
            failed |= isinstance(row, str)
            make, places = scenarios[name], (keep / f"{name}-{seed}" for seed in seeds)
            raters = [
                judged(make, one["cards"], at) for one, at in zip(studies, places, strict=False)
            ]
            said.append(f"| {name} | {' | '.join(summary(raters))} |")
            differs += [f"- {name}: {what}" for what in differences(make.right, row, raters)]
    print("\n| crowd | faults | to review | rejected | found besides |\n|---|---|---|---|---|")
    print(*said, sep="\n")
    print("\nDiffers from the right judgement:\n", *(differs or ["- nothing"]), sep="\n")
    return int(failed)


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checks", type=Path, metavar="CHECKS", help="folder of crowds.py")
    parser.add_argument("names", nargs="*", metavar="NAME", help="crowds; none: all")
    parser.add_argument("--crowdqc", required=True, metavar="PATH", help="the command line")
    parser.add_argument("--seeds", type=int, default=3, help="studies of each crowd (3)")
    parser.add_argument("--jobs", type=int, default=1, help="studies at the same time (1)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep studies and results")
    asked = parser.parse_intermixed_args()
    if not (asked.checks / "crowds.py").is_file():
        parser.error(f"{asked.checks} has no crowds.py; give the folder of the checks")
    return asked


def all_crowds():
    """The crowds of all modules, by name."""
    found = {}
    for of in ("people", "files", "designs", "errors", "shapes"):
        found |= importlib.import_module(f"further_crowds_{of}").SCENARIOS
    return found


def judged(make, cards, folder):
    """Of each rater of a study: faults, checks that found something, verdict of the gate, `bad`.

    `checks` are findings about slices and cases of those who are not good, but for what is found
    of a good rater, too.
    """
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    verdicts = {rater["rater"]: rater["verdict"] for rater in manifest["raters"]}
    checks, of_study = {rater: set() for rater in cards.index}, set()
    for path in folder.glob("out/*.findings.jsonl"):
        for finding in map(json.loads, path.read_text().splitlines()):
            nobody = not finding.keys() & {"rater", "case"}
            checks.get(finding.get("rater"), of_study if nobody else set()).add(finding["check"])
    faults = [set(json.loads(text)) if text else set() for text in cards["faults"].fillna("")]
    found = pd.DataFrame({"faults": faults, "verdict": pd.Series(verdicts)}, index=cards.index)
    found["bad"] = found.index.isin(make(np.random.default_rng(0)).bad)
    usual = found.index[~found["bad"] & ~found.index.isin(make.right.may)]
    known = set().union(*(checks[rater] for rater in (usual if len(usual) else found.index)))
    found["checks"] = [checks[r] - known - found["faults"][r] for r in found.index]
    found.attrs["study"] = of_study - {"spacing-unknown"}
    return found


def summary(studies):
    """Faults, reviews and rejections of raters, and what else was found of those who stand out."""
    faults, verdicts, checks = Counter(), {"review": Counter(), "reject": Counter()}, Counter()
    for raters in studies:
        checks.update(f"study {check}" for check in raters.attrs["study"])
        for rater, row in raters.iterrows():
            faults.update(f"{rater} {fault}" for fault in row["faults"])
            verdicts.get(row["verdict"], Counter())[rater] += 1
            checks.update(f"{rater} {check}" for check in row["checks"])
    return [", ".join(counted(some)) or "-" for some in (faults, *verdicts.values(), checks)]


def counted(some):
    return [f"{what} ({n})" for what, n in sorted(some.items()) if n]


def differences(right, row, studies):
    """Sentences on what is not as a right judgement has it."""
    if isinstance(row, str):
        return [row]
    wrong = Counter()
    for raters in studies:
        for rater, one in raters.iterrows():
            wrong.update(misjudged(right, rater, one))
    told = [f"{what} ({n} of {len(studies)} studies)" for what, n in sorted(wrong.items())]
    return [*told, *worse(row)]


def misjudged(right, rater, one):
    """What is wrong with what was said of a rater of a study."""
    faults = one["faults"]
    told = bool(faults) or one["verdict"] != "accept"
    found = (faults | one["checks"]) & right.faults.get(rater, faults)
    if one["bad"] and not told and not found:
        yield f"nothing is said of {rater}"
    elif one["bad"] and not found:
        yield f"{rater} is named for another fault: {', '.join(sorted(faults)) or 'none'}"
    if not one["bad"] and told and rater not in right.may:
        yield f"{rater} is named: {', '.join(sorted(faults)) or one['verdict']}"
    if not one["bad"] and one["verdict"] == "reject":
        yield f"{rater} is rejected"
    yield from (f"{fault} is said of {rater}" for fault in sorted(faults & right.never))


def worse(row):
    """Where the fused boxes are behind the median or the gate harms, and what is not calibrated."""
    if row["gain"] < -max(2 * np.nan_to_num(row["gain_se"]), 0.001):
        yield f"fused boxes lie worse than the median's by {-row['gain']:.4f}"
    if row["f1_gate"] < row["f1_open"] - HARM:
        yield f"the gate takes {row['f1_open'] - row['f1_gate']:.3f} of F1 away"
    for key, words in (("spread", "spreads"), ("interval", "intervals of reliability")):
        if row[key] < LEAST:
            yield f"{words} hold {row[key]:.2f}"


if __name__ == "__main__":
    sys.exit(main())
