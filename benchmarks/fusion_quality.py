"""How good the methods of fusion are, on real and simulated crowds; prints Markdown.

    python benchmarks/fusion_quality.py DATA > tables.md

DATA is the folder of the real data. Instead of all tables, ``--rows`` prints the default less the
median on every set of real data, ``--ceiling`` what `edges` could reach on ``crowd_boxes_gold`` if
it knew more, and ``--choose`` which setting the rule of benchmarks/fusion_choice.py chooses there
(minutes). Peers are scored as well: ensemble-boxes where it is installed, panoptes-aggregation with
``--panoptes`` and the file of benchmarks/panoptes.py. Everything is seeded.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from fusion_ceiling import ceiling
from fusion_choice import choose
from fusion_peers import peers
from fusion_rows import EXACT, SHIPPED, left_out, rows
from fusion_sets import CARELESS, PLACE, bil, counts, f1s, interval, lidc, organs, pedestrians
from scipy.stats import norm, spearmanr

from crowdqc import plugins
from crowdqc.crowd import fit
from crowdqc.fusion import ask, fuse, load_method
from crowdqc.geometry import paired_iou, pairwise_iou
from crowdqc.matching import match
from tests.crowdqc.gold import BOX, f1_of_raters, gold_study

RESAMPLES = 1000
CROWDS = 10
METHODS = {name: load_method(name) for name in plugins.names("crowdqc.fusion")}
WHOLE, DEFAULT = "edges, whole px", "edges" + SHIPPED
INSTEAD = {"choose": choose, "rows": rows, "ceiling": ceiling}
SPREAD = [f"spread_{edge}" for edge in BOX]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    instead = parser.add_mutually_exclusive_group()
    for name, run in INSTEAD.items():
        instead.add_argument(f"--{name}", dest="instead", action="store_const", const=run)
    parser.add_argument("--panoptes", type=Path)
    arguments = parser.parse_args()
    if arguments.instead:
        arguments.instead(arguments.data)
        return
    gold_table(arguments.data, arguments.panoptes)
    for section in (rater_table, bil_table, held_out_table):
        section(arguments.data)
    simulated_table()
    calibration(arguments.data)


# A gold standard, many objects per image


def gold_table(data, panoptes):
    study, gold = gold_study(data)
    matched = match(study)
    results = {}
    for method in METHODS:
        found = fuse(matched, method=method)
        results[method] = counts(found[found["state"] == "agreed"], gold, study.cases)
    results |= peers(study, gold, panoptes)
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


# A gold standard, one object per image


def bil_table(data):
    for name, study, gold in bil(data):
        boxes, iou = study.boxes, {}
        for answer, mine in boxes.groupby("rater"):
            iou[answer] = pd.Series(paired_iou(mine[BOX], gold.loc[mine["case"]]), mine["case"])
        single = sorted(of.mean() for of in iou.values())
        matched, fused = match(study), {}
        for method, whole in ((DEFAULT, None), *((method, False) for method in METHODS)):
            found = fuse(matched, method=method.removesuffix(SHIPPED), whole_pixels=whole)
            found = found.drop_duplicates("case")
            cases = found["case"].to_numpy()
            fused[method] = pd.Series(paired_iou(found[BOX], gold.loc[cases]), cases)
        print(f"\n### bu_bil set {name}: {len(gold)} images, 7 answers each\n")
        print(
            f"Mean IoU of the k-th answers: {', '.join(f'{value:.3f}' for value in single)}; "
            f"their median {np.median(single):.3f}.\n"
        )
        print_means(fused)


def print_means(values):
    """Mean over cases, each of which counts with its mean; intervals over cases."""
    print("| method | mean IoU | 95 % | edges minus it | 95 % |\n|---|---|---|---|---|")
    case = {name: of.groupby(level=0).mean() for name, of in values.items()}
    for name, of in sorted(case.items(), key=lambda item: -item[1].mean()):
        mean, low, high = interval(of)
        more, least, most = interval(case["edges"] - of)
        print(
            f"| {name} | {mean:.4f} | {low:.4f} to {high:.4f} "
            f"| {more:+.4f} | {least:+.4f} to {most:+.4f} |"
        )


# No gold: predict the rater who was left out


def held_out_table(data):
    for name, study in (("lidc", lidc(data)), ("mturk_pedestrians", pedestrians(data))):
        found = left_out(study, METHODS)
        values = {DEFAULT: found[DEFAULT]} | {name: found[name + EXACT] for name in METHODS}
        print(f"\n### {name}: mean IoU of the fused box of the others with a rater left out\n")
        first = values["edges"]
        print(f"{len(first)} boxes of {first.index.nunique()} cases; 2 or more raters are left.\n")
        print_means(values)


# Simulated organs


def simulated_table():
    names = [*METHODS, WHOLE]
    print(f"\n### Organs of {CROWDS} simulated studies, one rater in five careless\n")
    print("| careless rater | best rater | " + " | ".join(names), end="")
    print(" | edges minus median | edges minus best rater |")
    print("|---" * (len(names) + 4) + "|")
    for kind, careless in CARELESS.items():
        table = np.array([organ_scores(careless, seed) for seed in range(CROWDS)])
        lead = table[:, [names.index("edges") + 1]] - table[:, [names.index("median") + 1, 0]]
        cells = [kind, *(f"{value:.4f}" for value in table.mean(axis=0))]
        for mean, low, high in np.transpose(interval(lead)):
            cells.append(f"{mean:+.4f} ({low:+.4f} to {high:+.4f})")
        print("| " + " | ".join(cells) + " |")


def organ_scores(careless, seed):
    """Mean IoU with the truth of the best rater, of every method and of edges on whole px."""
    study, true = organs(careless, seed)

    def score(boxes):
        drawn = boxes.drop_duplicates(PLACE).set_index(PLACE)[BOX]
        drawn = drawn[drawn.index.isin(true.index)]
        return paired_iou(drawn, true.loc[drawn.index]).mean()

    matched = match(study)
    best = max(score(of) for _, of in study.boxes.groupby("rater"))
    fused = [score(fuse(matched, method=method)) for method in METHODS]
    return [best, *fused, score(fuse(matched, whole_pixels=True))]


# Does it know what it does not know


def calibration(data):
    print("\n### Spread of the edges: share of true edges within the interval it promises\n")
    print("| crowd | edges | 50 % | 80 % | 95 % | true error over spread, median |")
    print("|---|---|---|---|---|---|")
    careful = {"no careless rater": {}} | CARELESS
    errors = {}
    for kind, careless in careful.items():
        parts = [organ_errors(careless, seed) for seed in range(5)]
        errors[f"organs, {kind}"] = [np.concatenate(of) for of in zip(*parts, strict=True)]
    for name, study, gold in bil(data):
        matched = match(study)
        found = with_risk(matched).drop_duplicates("case")
        errors[f"bu_bil set {name}"] = compared(found, gold.loc[found["case"]].to_numpy())
    study, gold = gold_study(data)
    found = with_risk(match(study))
    nearest, iou = nearest_gold(found, gold)
    kept = (found["state"] == "agreed").to_numpy()
    near = kept & (iou >= 0.5)
    errors["crowd_boxes_gold, objects in gold at IoU 0.5"] = compared(found[near], nearest[near])
    for name, (away, spread, _, _) in errors.items():
        score = np.abs(away / spread).ravel()
        shares = [np.mean(score <= norm.ppf(0.5 + share / 2)) for share in (0.5, 0.8, 0.95)]
        cells = [name, str(len(score)), *(f"{share:.2f}" for share in shares)]
        print("| " + " | ".join([*cells, f"{np.median(score) / norm.ppf(0.75):.2f}"]) + " |")
    print("\n### Expected error against 1 - IoU with the truth\n")
    print("| crowd | objects | expected | met | Spearman |\n|---|---|---|---|---|")
    errors["crowd_boxes_gold, all agreed objects"] = compared(found[kept], nearest[kept])
    for name, (_, _, risk, met) in errors.items():
        rank = spearmanr(risk, met)[0]
        print(f"| {name} | {len(met)} | {risk.mean():.3f} | {met.mean():.3f} | {rank:.2f} |")
    risk_table(found[kept].assign(error=1 - iou[kept]))
    score_table(found.assign(error=1 - iou))


def with_risk(matched):
    """The consensus with the expected error of each object."""
    found = fuse(matched)
    risk = ask(matched).sort_values("object")["expected_error"].to_numpy()
    return found.assign(risk=risk)


def compared(found, true):
    """Error and spread of each edge, expected error and 1 - IoU of each object."""
    boxes = found[BOX].to_numpy()
    met = 1 - paired_iou(boxes, true)
    return boxes - true, found[SPREAD].to_numpy(), found["risk"].to_numpy(), met


def organ_errors(careless, seed):
    study, true = organs(careless, seed)
    found = with_risk(match(study)).set_index(PLACE)
    found = found[found.index.isin(true.index) & (found["state"] == "agreed")]
    return compared(found, true.loc[found.index].to_numpy())


def nearest_gold(found, gold):
    """Gold box that overlaps each fused one best, and the IoU."""
    gold = {case: of[BOX].to_numpy() for case, of in gold.groupby("case")}
    boxes, ious = [], []
    for case, box in zip(found["case"], found[BOX].to_numpy(), strict=True):
        iou = pairwise_iou(box[None], gold[case])[0]
        boxes.append(gold[case][iou.argmax()])
        ious.append(iou.max())
    return np.array(boxes), np.array(ious)


def risk_table(kept):
    print("\nOf the agreed objects of crowd_boxes_gold, by fifths of the expected error:\n")
    print("| expected | met | n |\n|---|---|---|")
    for _, of in kept.groupby(pd.qcut(kept["risk"], 5), observed=True):
        print(f"| {of['risk'].mean():.3f} | {of['error'].mean():.3f} | {len(of)} |")


def score_table(found):
    print("\nProbability that an object exists, against the share that gold has at IoU 0.5:\n")
    print("| score | mean score | share in gold | n |\n|---|---|---|---|")
    bins = [0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 1]
    for span, of in found.groupby(pd.cut(found["score"], bins), observed=True):
        share = (of["error"] <= 0.5).mean()
        print(f"| {span} | {of['score'].mean():.2f} | {share:.2f} | {len(of)} |")


if __name__ == "__main__":
    main()
