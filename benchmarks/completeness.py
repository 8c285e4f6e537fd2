"""How many planted faults `crowdqc complete` finds, how often it cries wolf, and how fast it is.

    python benchmarks/completeness.py            # faults, about two minutes
    python benchmarks/completeness.py --million  # a million boxes

Each trial is a study of several cases in which one fault is planted in one run of one rater.
It counts as found when a finding of a check that stands for the fault names that case, label
and rater. A false alarm is a case of a study without faults with any finding above a note.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from crowdqc.completeness import assess
from crowdqc.findings import Finding, Severity
from crowdqc.judge import (
    Manifest,
    case_measures,
    decide,
    judged_findings,
    label_measures,
    load_policy,
    make_manifest,
    rater_measures,
    rater_runs,
)
from crowdqc.schema import Study, conform
from crowdqc.simulate import label_boxes, make_abdomen
from crowdqc.simulate.abdomen import LABELS

CASES = 8
NOISE_PX = 1.0
FOUND_BY = {
    "gap": {"organ-gap", "slice-lost"},
    "truncation": {"run-truncated", "run-short", "single-slice"},
    "swap": {"labels-swapped", "box-jump"},
    "missing organ": {"organ-missing"},
    "double box": {"double-box"},
}
STRENGTHS = {
    "gap": (1, 2, 4),  # slices
    "truncation": (0.25, 0.4, 0.6),  # share of the run
    "swap": (0.6, 0.8, 1.0),  # share of the slices on which both were drawn
    "missing organ": (1, 2, 3),  # organs of the case
    "double box": (1, 3, 8),  # slices
}
Fault = Callable[[pd.DataFrame, np.random.Generator, float], tuple[pd.DataFrame, tuple[str, ...]]]


def abdomen_boxes(
    seed: int, *, planes: int, px: float, thickness: float
) -> Iterator[tuple[str, int, pd.DataFrame]]:
    """True boxes of synthetic abdomens: one row per slice and organ."""
    for case in range(CASES):
        rng = np.random.default_rng([seed, case])
        size = round(336 / px)
        abdomen = make_abdomen(rng, shape=(planes, size, size), spacing=(px, px, thickness))
        parts = []
        for label, value in LABELS.items():
            slices, boxes = label_boxes(abdomen.mask, value)
            parts.append(
                pd.DataFrame(boxes, columns=["x0", "y0", "x1", "y1"]).assign(
                    slice=slices, label=label
                )
            )
        frame = pd.concat(parts)
        frame.attrs["thickness"] = thickness
        yield f"{case:04d}", planes, frame


def ellipsoid_boxes(seed: int, *, labels: int = 8) -> Iterator[tuple[str, int, pd.DataFrame]]:
    """True boxes of ellipsoids that lie about one another as organs do."""
    layout = np.random.default_rng(seed)
    centre = layout.uniform([60, 60, 30], [450, 450, 90], (labels, 3))
    radius = layout.uniform([20, 20, 8], [60, 60, 25], (labels, 3))
    for case in range(CASES):
        rng = np.random.default_rng([seed, case])
        where = centre + rng.normal(0, 5, centre.shape) + rng.normal(0, 8, 3)
        size = radius * rng.normal(1, 0.1, radius.shape)
        rows = []
        for label in range(labels):
            (x, y, z), (a, b, c) = where[label], size[label]
            for k in range(max(0, int(np.ceil(z - c))), min(120, int(z + c) + 1)):
                share = np.sqrt(max(0.0, 1 - ((k - z) / c) ** 2))
                if share * min(a, b) > 1:
                    rows.append(
                        (x - a * share, y - b * share, x + a * share, y + b * share, k, label)
                    )
        frame = pd.DataFrame(rows, columns=["x0", "y0", "x1", "y1", "slice", "label"])
        frame = frame.assign(label=[f"organ{n}" for n in frame["label"]])
        frame.attrs["thickness"] = 3.0
        yield f"{case:04d}", 120, frame


GEOMETRIES = {
    "abdomen 3.5 mm, slices 5 mm": lambda seed: abdomen_boxes(
        seed, planes=24, px=3.5, thickness=5.0
    ),
    "abdomen 2.5 mm, slices 2.5 mm": lambda seed: abdomen_boxes(
        seed, planes=48, px=2.5, thickness=2.5
    ),
    "8 ellipsoids, 120 slices": ellipsoid_boxes,
}


def draw(
    truth: list[tuple[str, int, pd.DataFrame]], raters: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Boxes of all raters: the true ones with noisy edges."""
    parts = []
    for case, _, boxes in truth:
        for rater in range(raters):
            noisy = boxes.copy()
            noisy[["x0", "y0", "x1", "y1"]] += rng.normal(0, NOISE_PX, (len(boxes), 4))
            noisy["x1"] = np.maximum(noisy["x1"], noisy["x0"] + 1)
            noisy["y1"] = np.maximum(noisy["y1"], noisy["y0"] + 1)
            parts.append(noisy.assign(case=case, rater=f"r{rater}"))
    return pd.concat(parts, ignore_index=True)


def as_study(boxes: pd.DataFrame, truth: list[tuple[str, int, pd.DataFrame]]) -> Study:
    """A study in which every rater read every slice."""
    labels = sorted({label for _, _, frame in truth for label in frame["label"]})
    places = pd.DataFrame([(case, k) for case, n, _ in truth for k in range(n)])
    places.columns = ["case", "slice"]
    raters = pd.DataFrame({"rater": sorted(boxes["rater"].unique())})
    readings = places.merge(raters, how="cross").assign(labels="", state="reviewed_empty")
    images = places.assign(height=512, width=512, spacing_x=1.0, spacing_y=1.0)
    images["spacing_z"] = truth[0][2].attrs["thickness"]
    boxes = boxes.assign(box=np.arange(len(boxes)))
    single = frozenset(labels)
    return Study("simulated", tuple(labels), images, readings, boxes, single=single)


def a_run(boxes: pd.DataFrame, rng: np.random.Generator, least: int = 8) -> pd.DataFrame:
    """The boxes of a run of at least so many slices."""
    groups = boxes.groupby(["case", "rater", "label"])
    long = [key for key, n in groups.size().items() if n >= least]
    return groups.get_group(long[rng.integers(len(long))]).sort_values("slice")


def key_of(run: pd.DataFrame) -> tuple[str, ...]:
    """Case, label and rater."""
    first = run.iloc[0]
    return first["case"], first["label"], first["rater"]


def gap(boxes: pd.DataFrame, rng: np.random.Generator, n: float) -> tuple[pd.DataFrame, tuple]:
    """Some slices inside a run lost."""
    run = a_run(boxes, rng)
    start = rng.integers(1, len(run) - int(n))
    return boxes.drop(run.index[start : start + int(n)]), key_of(run)


def truncation(
    boxes: pd.DataFrame, rng: np.random.Generator, share: float
) -> tuple[pd.DataFrame, tuple]:
    """One end of a run lost."""
    run = a_run(boxes, rng)
    n = round(share * len(run))
    return boxes.drop(run.index[:n] if rng.integers(2) else run.index[-n:]), key_of(run)


def swap(boxes: pd.DataFrame, rng: np.random.Generator, share: float) -> tuple[pd.DataFrame, tuple]:
    """Two labels changed places, on the middle of the slices that both have."""
    run = a_run(boxes, rng)
    case, label, rater = key_of(run)
    mine = boxes[(boxes["case"] == case) & (boxes["rater"] == rater)]
    partner = {"right_kidney": "left_kidney", "left_kidney": "right_kidney"}.get(label)
    others = [name for name in mine["label"].unique() if name != label]
    partner = partner or others[rng.integers(len(others))]
    slices = np.unique(mine.loc[mine["label"].isin([label, partner]), "slice"])
    n = max(1, round(share * len(slices)))
    start = (len(slices) - n) // 2
    at = mine["slice"].isin(slices[start : start + n])
    changed = boxes.copy()
    for old, new in ((label, partner), (partner, label)):
        changed.loc[mine.index[at & (mine["label"] == old)], "label"] = new
    return changed, (case, label, rater)


def missing(boxes: pd.DataFrame, rng: np.random.Generator, n: float) -> tuple[pd.DataFrame, tuple]:
    """Organs of a case that a rater never drew."""
    case, label, rater = key_of(a_run(boxes, rng, 1))
    mine = boxes[(boxes["case"] == case) & (boxes["rater"] == rater)]
    others = [name for name in mine["label"].unique() if name != label]
    gone = [label, *rng.choice(others, int(n) - 1, replace=False)]
    return boxes.drop(mine.index[mine["label"].isin(gone)]), (case, label, rater)


def double(boxes: pd.DataFrame, rng: np.random.Generator, n: float) -> tuple[pd.DataFrame, tuple]:
    """Slices of a run with a second box near the first."""
    run = a_run(boxes, rng)
    again = run.sample(int(n), random_state=int(rng.integers(1 << 31))).copy()
    again[["x0", "y0", "x1", "y1"]] += np.tile(rng.normal(0, 4, 2), 2)
    return pd.concat([boxes, again], ignore_index=True), key_of(run)


FAULTS: dict[str, Fault] = {
    "gap": gap,
    "truncation": truncation,
    "swap": swap,
    "missing organ": missing,
    "double box": double,
}


def is_found(findings: list[Finding], fault: str, key: tuple[str, ...]) -> bool:
    """Whether a finding of the right kind names the run."""
    case, label, rater = key
    return any(
        finding.check in FOUND_BY[fault]
        and finding.case == case
        and finding.rater == rater
        and finding.label in (label, None)
        for finding in findings
    )


def trials(seeds: range, *, verbose: bool) -> pd.DataFrame:
    """Every fault at every strength in every geometry, with one and with three raters."""
    rows = []
    for name, geometry in GEOMETRIES.items():
        for raters in (1, 3):
            for seed in seeds:
                rng = np.random.default_rng([seed, raters])
                truth = list(geometry(seed))
                clean = draw(truth, raters, rng)
                _, findings = assess(as_study(clean, truth))
                bad = [f for f in findings if f.severity is not Severity.NOTE]
                if verbose:
                    print(*(f.message for f in bad), sep="\n")
                rows.append((name, raters, "false alarm", 0.0, len({f.case for f in bad}), CASES))
                for fault, plant in FAULTS.items():
                    for strength in STRENGTHS[fault]:
                        boxes, key = plant(clean, rng, strength)
                        _, findings = assess(as_study(boxes, truth))
                        found = is_found(findings, fault, key)
                        if verbose and not found:
                            print("not found:", name, raters, fault, strength, key)
                        rows.append((name, raters, fault, strength, int(found), 1))
    columns = ["geometry", "raters", "fault", "strength", "hits", "n"]
    return pd.DataFrame(rows, columns=columns)


def million() -> None:
    """Time of the stage on a million boxes."""
    rng = np.random.default_rng(0)
    grids = np.meshgrid(*(np.arange(n) for n in (100, 100, 10, 10)), indexing="ij")
    case, plane, rater, label = (grid.ravel() for grid in grids)
    half = 10 + 8 * np.sin(np.pi * (plane + 0.5) / 100)
    x, y = 40 * label + rng.normal(35, 1, len(case)), rng.normal(100, 1, len(case))
    boxes = pd.DataFrame(
        {
            "case": np.char.zfill(case.astype(str), 4),
            "slice": plane,
            "rater": np.char.add("r", rater.astype(str)),
            "label": np.char.add("organ", label.astype(str)),
            "x0": x - half,
            "y0": y - half,
            "x1": x + half,
            "y1": y + half,
        }
    )[rng.random(len(case)) > 0.001]
    boxes.attrs["thickness"] = 3.0
    names = boxes.iloc[:10].assign(label=sorted(boxes["label"].unique()))
    truth = [(f"{k:04d}", 100, names) for k in range(100)]
    study = as_study(boxes, truth)
    begin = time.perf_counter()
    table, findings = assess(study)
    seconds = time.perf_counter() - begin
    print(f"{len(boxes)} boxes, {len(table)} runs, {len(findings)} findings: {seconds:.1f} s")
    for name, fused in (("fused", boxes[boxes["rater"] == "r0"]), ("not fused", boxes)):
        begin = time.perf_counter()
        made = judge(fused, table, findings)
        seconds = time.perf_counter() - begin
        print(f"gate, {made.counts['prompts']} prompts ({name}): {seconds:.1f} s")


def judge(boxes: pd.DataFrame, table: pd.DataFrame, findings: list[Finding]) -> Manifest:
    """What `crowdqc gate` does with these boxes as the consensus, up to the text of the file."""
    fixed = {"support": 1, "n_raters": 1, "score": 1.0, "method": "median", "state": "single"}
    consensus = conform("consensus", boxes.assign(**fixed).drop(columns="rater"))
    raters = pd.DataFrame({"rater": sorted(table["rater"].unique())})
    known = {
        "agreement_high_simultaneous": 0.9,
        "agreement_best": 0.85,
        "agreement_best_low": 0.8,
        "labels_swapped": 0.0,
    }
    raters = rater_measures(raters.assign(**known)).join(rater_runs(table))
    labels = label_measures(consensus, table)
    measures = {
        "rater": raters,
        "label": labels,
        "case": case_measures(labels),
    }
    policy = load_policy()
    decision = decide(policy, measures, judged_findings(findings, table))
    made = make_manifest(decision, consensus, study="million", policy=policy, created_from={})
    made.to_json()
    return made


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--million", action="store_true", help="time a million boxes")
    parser.add_argument("--repeats", type=int, default=10, help="studies per geometry")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first study")
    parser.add_argument("--verbose", action="store_true", help="name what was missed")
    arguments = parser.parse_args()
    if arguments.million:
        million()
        return
    seeds = range(arguments.seed, arguments.seed + arguments.repeats)
    table = trials(seeds, verbose=arguments.verbose)
    for by in (["fault"], ["fault", "strength"], ["fault", "raters"], ["fault", "geometry"]):
        sums = table.groupby(by)[["hits", "n"]].sum()
        print(sums.assign(rate=(sums["hits"] / sums["n"]).round(3)).to_string(), "\n")


if __name__ == "__main__":
    main()
