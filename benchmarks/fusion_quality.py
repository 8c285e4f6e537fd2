"""How good the methods of fusion are, on real and simulated crowds; prints Markdown.

    python benchmarks/fusion_quality.py DATA > tables.md

DATA is the folder of the real data. With ``--choose``, settings are chosen by cross-validation
over the images of ``crowd_boxes_gold`` instead (minutes). Where ensemble-boxes is installed it
is scored as well. Everything is seeded.
"""

import argparse
import dataclasses
import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from crowdqc.crowd import (
    CrowdSettings,
    EdgeSettings,
    ExistenceSettings,
    evidence,
    fit,
    fit_evidence,
)
from crowdqc.fusion import METHODS, ask, fuse
from crowdqc.geometry import paired_iou
from crowdqc.matching import match
from crowdqc.schema import Study
from tests.crowdqc.crowds import crowd_study
from tests.crowdqc.gold import BOX, f1_of_raters, gold_study, hits

RESAMPLES = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--choose", action="store_true")
    arguments = parser.parse_args()
    if arguments.choose:
        choose(arguments.data)
        return
    for section in (gold_table, rater_table, risk_table, bil_table, held_out_table):
        section(arguments.data)
    simulated_table()


# A gold standard, many objects per image


def counts(found, gold, cases):
    """Right at 0.5, right at 0.75, found and true, for each image."""
    found = {case: of[BOX].to_numpy() for case, of in found.groupby("case")}
    gold = {case: of[BOX].to_numpy() for case, of in gold.groupby("case")}
    none = np.zeros((0, 4))
    rows = []
    for case in cases:
        mine, true = found.get(case, none), gold.get(case, none)
        rows.append((hits(mine, true, 0.5), hits(mine, true, 0.75), len(mine), len(true)))
    return np.array(rows, dtype=float)


def f1s(table):
    """F1 at 0.5 and at 0.75, pooled over the second last axis (images)."""
    total = table.sum(axis=-2)
    return 2 * total[..., :2] / (total[..., 2] + total[..., 3])[..., None]


def gold_table(data):
    study, gold = gold_study(data)
    matched = match(study)
    results = {}
    for method in METHODS:
        found = fuse(matched, method=method)
        agreed = found[found["state"] == "agreed"]
        results[method] = counts(agreed, gold, study.cases)
    if importlib.util.find_spec("ensemble_boxes"):
        results |= peer_wbf(study, gold)
    pick = np.random.default_rng(0).integers(0, len(study.cases), (RESAMPLES, len(study.cases)))
    best = f1s(results["edges"][pick])
    print(f"\n### crowd_boxes_gold: {len(study.cases)} images, {len(gold)} gold boxes\n")
    print("| method | F1@0.5 | 95 % | F1@0.75 | 95 % | edges minus it @0.5 | @0.75 |")
    print("|---|---|---|---|---|---|---|")
    for name, table in sorted(results.items(), key=lambda item: -f1s(item[1])[0]):
        value, drawn = f1s(table), f1s(table[pick])
        low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
        behind = np.quantile(best - drawn, [0.025, 0.975], axis=0)
        cells = [name]
        for k in (0, 1):
            cells += [f"{value[k]:.3f}", f"{low[k]:.3f} to {high[k]:.3f}"]
        cells += [f"{behind[0, k]:+.3f} to {behind[1, k]:+.3f}" for k in (0, 1)]
        print("| " + " | ".join(cells) + " |")


def peer_wbf(study, gold):
    """ensemble-boxes with every rater a model: the best of its settings on these images."""
    from ensemble_boxes import weighted_boxes_fusion

    asked = study.readings.groupby("case")["rater"].nunique()
    found = {}
    for iou in (0.3, 0.4, 0.55):
        rows = []
        for case, of in study.boxes.groupby("case"):
            models = [(frame[BOX] / 4000).to_numpy().tolist() for _, frame in of.groupby("rater")]
            ones = [[1.0] * len(model) for model in models]
            fused, score, _ = weighted_boxes_fusion(models, ones, ones, iou_thr=iou)
            votes = score * len(models)  # its score is the share of the models that drew
            rows += [(case, n, *box) for n, box in zip(votes, fused * 4000, strict=True)]
        frame = pd.DataFrame(rows, columns=["case", "votes", *BOX])
        share = frame["votes"] / frame["case"].map(asked)
        for quorum in (0.2, 0.25, 0.34):
            kept = frame[(frame["votes"] >= 1.99) & (share >= quorum - 1e-9)]
            found[iou, quorum] = counts(kept, gold, study.cases)
    setting = max(found, key=lambda key: f1s(found[key])[0])
    return {f"ensemble-boxes, its best ({setting[0]}, {setting[1]})": found[setting]}


def choose(data):
    """Cross-validation over images of every setting that was considered."""
    study, gold = gold_study(data)
    settings, tables = [], []
    for iou in (0.25, 0.3, 0.35, 0.4):
        matched = match(study, iou=iou)
        rows = evidence(matched)
        two = rows.n_boxes >= 2
        for drawn, spread, raters, freedom in itertools.product(
            ((1.0, -3.0), (1.0, -2.5), (1.5, -2.5)),
            ((1.5, 0.7), (1.5, 1.0)),
            ((1.0, 0.5), (0.5, 0.5)),
            (5.0, 8.0, 20.0),
        ):
            crowd = fit_evidence(
                rows,
                settings=CrowdSettings(
                    ExistenceSettings(drawn=drawn, spread=spread, raters=raters),
                    EdgeSettings(freedom=freedom),
                ),
            )
            frame = matched.objects[["case"]].copy()
            frame[BOX] = crowd.box
            for least in (0.4, 0.5):
                settings.append((iou, drawn, spread, raters, freedom, least))
                kept = frame[two & (crowd.exists >= least)]
                tables.append(counts(kept, gold, study.cases))
    tables = np.array(tables)
    held, chosen = cross_validate(tables)
    print(f"{len(settings)} settings, 5 folds of images, 20 times")
    print(
        f"held-out F1@0.5 and F1@0.75: {held.mean(axis=0).round(4)} "
        f"(SD over repeats {held.std(axis=0).round(4)})"
    )
    print(
        f"all settings, on all images: mean {f1s(tables).mean(axis=0).round(4)}, "
        f"least {f1s(tables).min(axis=0).round(4)}, greatest {f1s(tables).max(axis=0).round(4)}"
    )
    for index in np.argsort(-chosen)[:6]:
        print(f"chosen {chosen[index]} times: {settings[index]} {f1s(tables[index]).round(4)}")
    ours = settings.index((0.3, (1.0, -3.0), (1.5, 0.7), (1.0, 0.5), 8.0, 0.5))
    print(
        f"the default: {settings[ours]} {f1s(tables[ours]).round(4)}, chosen {chosen[ours]} times"
    )


def cross_validate(tables):
    images = tables.shape[1]
    held, chosen = [], np.zeros(len(tables), int)
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(images)
        total = np.zeros((1, 4))
        for fold in range(5):
            test = order[fold::5]
            train = np.setdiff1d(order, test)
            best = int(f1s(tables[:, train]).sum(axis=1).argmax())
            chosen[best] += 1
            total += tables[best, test].sum(axis=0)
        held.append(f1s(total))
    return np.array(held), chosen


def rater_table(data):
    study, gold = gold_study(data)
    truth = f1_of_raters(study, gold)
    crowd = fit(match(study))
    truth["reliability"] = pd.Series(crowd.reliability, index=list(crowd.raters))
    often = truth[truth["images"] >= 5]
    print("\n### Reliability without gold against F1@0.5 with gold\n")
    print("| raters | n | Spearman | 95 % (raters resampled) |\n|---|---|---|---|")
    for name, of in (("5 or more images", often), ("all", truth)):
        rng = np.random.default_rng(0)
        values = []
        for _ in range(RESAMPLES):
            rows = of.iloc[rng.integers(0, len(of), len(of))]
            values.append(spearmanr(rows["f1"], rows["reliability"])[0])
        low, high = np.quantile(values, [0.025, 0.975])
        value = spearmanr(of["f1"], of["reliability"])[0]
        print(f"| {name} | {len(of)} | {value:.3f} | {low:.3f} to {high:.3f} |")


def risk_table(data):
    study, gold = gold_study(data)
    matched = match(study)
    found = fuse(matched)
    found["risk"] = ask(matched).sort_values("object")["expected_error"].to_numpy()
    gold = {case: of[BOX].to_numpy() for case, of in gold.groupby("case")}
    found["error"] = [
        1 - paired_iou(np.tile(box, (len(gold[case]), 1)), gold[case]).max()
        for case, box in zip(found["case"], found[BOX].to_numpy(), strict=True)
    ]
    kept = found[found["state"] == "agreed"]
    value = spearmanr(kept["risk"], kept["error"])[0]
    print(
        f"\n### Expected error of {len(kept)} agreed objects, "
        "against 1 - IoU with the nearest gold\n"
    )
    print(f"Spearman {value:.3f}; by fifths of the expected error:\n")
    print("| expected | met | n |\n|---|---|---|")
    for _, of in kept.groupby(pd.qcut(kept["risk"], 5), observed=True):
        print(f"| {of['risk'].mean():.3f} | {of['error'].mean():.3f} | {len(of)} |")
    print("\nProbability that an object exists, against the share that gold has at IoU 0.5:\n")
    print("| score | mean score | share in gold | n |\n|---|---|---|---|")
    bins = [0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 1]
    for interval, of in found.groupby(pd.cut(found["score"], bins), observed=True):
        share = (of["error"] <= 0.5).mean()
        print(f"| {interval} | {of['score'].mean():.2f} | {share:.2f} | {len(of)} |")


# A gold standard, one object per image


def bil_table(data):
    table = pd.read_csv(data / "bu_bil" / "crowd_boxes.csv", dtype={"image": str, "dataset": str})
    table = table.rename(columns={"image": "case"})
    for name, of in table.groupby("dataset"):
        gold = of[of["rater"].str.startswith("gold")].set_index("case")[BOX]
        boxes = of[~of["rater"].str.startswith("gold")].assign(slice=0, label="cell")
        boxes = boxes[(boxes["x1"] > boxes["x0"]) & (boxes["y1"] > boxes["y0"])]
        study = Study(
            f"set {name}",
            ("cell",),
            boxes.drop_duplicates("case")[["case", "slice", "width", "height"]],
            boxes[["case", "slice", "rater"]].assign(state="boxed"),
            boxes.assign(box=range(len(boxes))),
            rater_scope="case",
            single=frozenset({"cell"}),
        )
        iou = {}
        for answer, mine in boxes.groupby("rater"):
            iou[answer] = pd.Series(paired_iou(mine[BOX], gold.loc[mine["case"]]), mine["case"])
        matched = match(study)
        for method in METHODS:
            found = fuse(matched, method=method).drop_duplicates("case")
            iou[method] = pd.Series(
                paired_iou(found[BOX], gold.loc[found["case"]]), found["case"].to_numpy()
            )
        single = sorted(iou[answer].mean() for answer in boxes["rater"].unique())
        print(f"\n### bu_bil set {name}: {len(gold)} images, 7 answers each\n")
        print(
            f"Mean IoU of the k-th answers: {', '.join(f'{value:.3f}' for value in single)}; "
            f"their median {np.median(single):.3f}.\n"
        )
        print_means({method: iou[method] for method in METHODS})


def print_means(values):
    """Mean over cases, each of which counts with its mean, and a bootstrap interval over them."""
    print("| method | mean IoU | 95 % |\n|---|---|---|")
    rows = []
    for name, of in values.items():
        case = of.groupby(level=0).mean().to_numpy()
        rng = np.random.default_rng(0)
        means = case[rng.integers(0, len(case), (RESAMPLES, len(case)))].mean(axis=1)
        rows.append((case.mean(), name, *np.quantile(means, [0.025, 0.975])))
    for mean, name, low, high in sorted(rows, reverse=True):
        print(f"| {name} | {mean:.4f} | {low:.4f} to {high:.4f} |")


# No gold: predict the rater who was left out


def held_out_table(data):
    for name, study in (("lidc", lidc(data)), ("mturk_pedestrians", pedestrians(data))):
        matched = match(study)
        rows = evidence(matched)
        case = matched.objects["case"].to_numpy()
        values = {method: [] for method in METHODS}
        for fold in range(4):
            rest, held, objects = leave_out(rows, fold)
            for method, run in METHODS.items():
                box = run(rest).box
                iou = paired_iou(rows.boxes[held], box)
                values[method].append(pd.Series(iou, case[objects]))
        print(f"\n### {name}: mean IoU of the fused box of the others with a rater left out\n")
        first = pd.concat(values["edges"])
        print(f"{len(first)} boxes of {first.index.nunique()} cases; 2 or more raters are left.\n")
        print_means({method: pd.concat(of) for method, of in values.items()})


def leave_out(rows, fold):
    """Evidence without one box of every object with three or more, that box, and the object."""
    order = np.lexsort((rows.rater, rows.object))
    rank = np.empty(len(order), dtype=np.int64)
    count = rows.n_boxes
    rank[order] = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
    usable = count[rows.object] >= 3
    held = np.flatnonzero(usable & (rank == fold % count[rows.object]))
    held = held[np.argsort(rows.object[held])]
    objects = rows.object[held]
    number = np.full(rows.n_objects, -1)
    number[objects] = np.arange(len(objects))
    kept = np.setdiff1d(np.flatnonzero(usable), held)
    out = rows.asked_object * rows.n_raters + rows.asked_rater
    left = np.isin(out, rows.object[held] * rows.n_raters + rows.rater[held])
    asked = (number[rows.asked_object] >= 0) & ~left
    rest = dataclasses.replace(
        rows,
        boxes=rows.boxes[kept],
        object=number[rows.object[kept]],
        rater=rows.rater[kept],
        asked_object=number[rows.asked_object[asked]],
        asked_rater=rows.asked_rater[asked],
        drew=rows.drew[asked],
        place=rows.place[objects],
        n_objects=len(objects),
    )
    return rest, held, objects


def lidc(data):
    table = pd.read_csv(data / "lidc" / "reader_boxes.csv.gz")
    boxes = pd.DataFrame(
        {
            "case": table["scan_id"].astype(str),
            "slice": table["slice_index"],
            "rater": table["reader_session"].astype(str),
            "label": "nodule",
        }
    )
    boxes[BOX] = table[BOX].astype(float)
    boxes["box"] = range(len(boxes))
    places = boxes[["case", "slice"]].drop_duplicates()
    readings = places.merge(pd.DataFrame({"rater": list("0123")}), how="cross")
    images = places.assign(height=512, width=512)
    return Study(
        "lidc", ("nodule",), images, readings.assign(state="boxed"), boxes, rater_scope="case"
    )


def pedestrians(data):
    table = pd.read_csv(data / "mturk_pedestrians" / "worker_boxes.csv.gz")
    table = table.rename(columns={"worker": "rater"}).assign(
        case=lambda t: t["image_id"].astype(str)
    )
    readings = table[["case", "rater"]].drop_duplicates().assign(slice=0, state="boxed")
    boxes = table[(table["x1"] > table["x0"]) & (table["y1"] > table["y0"])]
    boxes = boxes.assign(slice=0, label="person", box=range(len(boxes)))
    images = readings[["case", "slice"]].drop_duplicates().assign(height=720, width=1280)
    return Study("pedestrians", ("person",), images, readings, boxes)


# Simulated organs


def simulated_table():
    print("\n### Simulated organs: five raters, the last one careless; mean IoU with the truth\n")
    kinds = {
        "spread 8 px": {"sd": [1.2, 1.5, 1.8, 1.5, 8.0]},
        "spread 4 px": {"sd": [1.2, 1.5, 1.8, 1.5, 4.0]},
        "8 px too large": {"sd": [1.2, 1.5, 1.8, 1.5, 2.0], "bias": [0, 0, 0, 0, 8.0]},
        "misses 4 in 10": {"sd": [1.2, 1.5, 1.8, 1.5, 8.0], "miss": [0.02] * 4 + [0.4]},
        "20 slices only": {"sd": [1.2, 1.5, 1.8, 1.5, 8.0], "things": 20},
    }
    print("| careless rater | best rater | " + " | ".join(METHODS) + " | edges beat median |")
    print("|---" * (len(METHODS) + 3) + "|")
    for kind, arguments in kinds.items():
        best, values, wins = [], {method: [] for method in METHODS}, 0
        for seed in range(20):
            study, truth = crowd_study(seed, **({"things": 100} | arguments))
            matched = match(study)
            for method in METHODS:
                found = fuse(matched, method=method)
                values[method].append(paired_iou(found[BOX], truth[found["slice"]]).mean())
            mean = [
                paired_iou(of[BOX], truth[of["slice"]]).mean()
                for _, of in study.boxes.groupby("rater")
            ]
            best.append(max(mean))
            wins += values["edges"][-1] > max(values["median"][-1], best[-1])
        cells = [kind, f"{np.mean(best):.4f}", *(f"{np.mean(of):.4f}" for of in values.values())]
        print("| " + " | ".join([*cells, f"{wins} of 20"]) + " |")


if __name__ == "__main__":
    main()
