"""The page on the experiment: every number is read from the files that `hippocampus.py` left."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from numpy.typing import NDArray

from crowdqc.compare import compare
from crowdqc.config import Config
from crowdqc.stages.base import Run
from crowdqc.stages.images import image_files
from crowdqc.stages.truth import truth_files
from crowdqc.volumes import read_labels, read_volume, to_grey, to_pictures
from train.environment import Folders
from train.experiment import dataset_name
from train.run import model_folder

COLOURS = {
    "unfiltered": "#c44e52",
    "filtered": "#4c72b0",
    "ignore": "#8172b3",
    "truth": "#55a868",
}
MEASURES = {"dice": "Dice", "surface_dice": "surface Dice", "hd95_mm": "HD95 (mm)"}
PAIRS = [tuple(reversed(pair)) for pair in combinations(COLOURS, 2)]
"""Sets to compare: the one that should be better first."""
PICTURES = "images"


def write_report(runs: Mapping[str, Run], folder: Path, *, cpu: Path) -> None:
    """Write ``hippocampus.md`` and its pictures into a folder."""
    run = next(iter(runs.values()))
    (folder / PICTURES).mkdir(parents=True, exist_ok=True)
    scores = model_scores(run)
    folds = read(run, "fold_scores.csv")
    mpl.rcParams.update({"svg.hashsalt": "crowdqc", "font.size": 9, "svg.fonttype": "none"})
    draw_scores(scores, folder / PICTURES / "hippocampus_scores.svg")
    draw_curves(run, folder / PICTURES / "hippocampus_curves.svg")
    draw_masks(run, folder / PICTURES / "hippocampus_masks.png")
    page = Path(__file__).with_name("hippocampus_page.md").read_text(encoding="utf-8")
    parts = {
        "raters": table(raters(run)),
        "gate": gate_sentence(run),
        "datasets": table(datasets(run)),
        "masks": table(mask_quality(runs)),
        "mask_tests": table(mask_tests(runs)),
        "models": table(model_quality(scores)),
        "folds": table(fold_quality(folds)),
        "tests": table(model_tests(scores)),
        "surface_tests": table(surface_tests(scores)),
        "verdict": verdict(scores, runs),
        "settings": settings(run.config),
        "cpu": cpu_sentence(cpu),
    }
    (folder / "hippocampus.md").write_text(page.format(**parts), encoding="utf-8")


def read(run: Run, name: str) -> pd.DataFrame:
    return pd.read_csv(run.store.path(name), dtype={"case": str})


def model_scores(run: Run) -> pd.DataFrame:
    """Scores of whole test volumes; sets without nnU-Net's name before theirs."""
    scores = read(run, "model_scores.csv")
    scores = scores[scores["slice"].isna()].drop(columns="slice")
    return scores.assign(set=scores["set"].str.removeprefix("nnunet-"))


def raters(run: Run) -> pd.DataFrame:
    found = run.store.read("raters")
    faults = run.config.simulate.raters if run.config.simulate else {}
    described = {name: faults[name].model_dump(exclude_defaults=True) for name in found["rater"]}
    noise = {name: f"noise {faults[name].noise} px" for name in described}
    other = {
        name: ", ".join(f"{k} {v}" for k, v in fault.items() if k != "noise")
        for name, fault in described.items()
    }
    return pd.DataFrame(
        {
            "rater": found["rater"],
            "draws with": [", ".join(filter(None, (noise[n], other[n]))) for n in found["rater"]],
            "cases": found["n_cases"],
            "agreement": found["agreement"].map(three),
            "reliability": found["reliability"].map(three),
            "verdict": found["verdict"],
        }
    )


def gate_sentence(run: Run) -> str:
    manifest = json.loads(run.store.path("manifest.json").read_text(encoding="utf-8"))
    out = [one["rater"] for one in manifest["raters"] if one["verdict"] == "reject"]
    cases = [one["case"] for one in manifest["cases"] if one["verdict"] == "reject"]
    masks = [u for u in manifest["units"].get("mask", []) if u["verdict"] == "reject"]
    return (
        f"The gate rejects the raters {' and '.join(out) or 'none'}, "
        f"{len(cases)} of {len(manifest['cases'])} cases and {len(masks)} single masks."
    )


def datasets(run: Run) -> pd.DataFrame:
    """Cases of each dataset, and how much of it is ignored or missing."""
    folders = Folders(run.store.folder)
    rows = []
    for name in run.config.dataset.sets:
        folder = folders.raw / dataset_name(run.config, name)
        files = sorted((folder / "labelsTr").glob("*.nii.gz"))
        ignored = [(read_labels(path)[0] == 3).mean() for path in files]
        planes = [(read_labels(path)[0] == 3).any(axis=(0, 1)).mean() for path in files]
        rows.append(
            {
                "set": name,
                "training cases": len(files),
                "voxels ignored": f"{np.mean(ignored):.1%}",
                "slices with ignored voxels": f"{np.mean(planes):.1%}",
            }
        )
    return pd.DataFrame(rows)


def mask_scores(run: Run) -> pd.DataFrame:
    """Scores of the masks of training cases that both sets have."""
    scores = run.store.read("scores")
    volumes = scores[scores["slice"].isna() & ~scores["case"].isin(run.config.dataset.test)]
    kept = set(volumes.loc[volumes["set"] == "filtered", "case"])
    return volumes[volumes["case"].isin(kept)].drop(columns="slice")


def mask_quality(runs: Mapping[str, Run]) -> pd.DataFrame:
    rows = []
    for fusion, run in runs.items():
        scores = mask_scores(run)
        for name in ("unfiltered", "filtered"):
            part = scores[scores["set"] == name]
            rows.append({"boxes fused by": fusion, "masks": name, **means(part)})
    return pd.DataFrame(rows)


def means(scores: pd.DataFrame) -> dict[str, str]:
    """Mean of each measure and label; the median of distances, which may be infinite."""
    found = {"cases": str(scores["case"].nunique())}
    for measure, title in MEASURES.items():
        for label, part in scores.groupby("label", sort=False):
            value = part[measure].median() if measure == "hd95_mm" else part[measure].mean()
            found[f"{title}, {label}"] = two(value) if measure == "hd95_mm" else three(value)
    return found


def mask_tests(runs: Mapping[str, Run]) -> pd.DataFrame:
    parts = []
    for fusion, run in runs.items():
        tested = test(mask_scores(run), ("filtered", "unfiltered"), "dice")
        tested.insert(0, "boxes fused by", fusion)
        parts.append(tested)
    return pd.concat(parts, ignore_index=True)


def model_quality(scores: pd.DataFrame) -> pd.DataFrame:
    groups = scores.groupby("set", sort=False)
    return pd.DataFrame([{"trained on": name, **means(part)} for name, part in groups])


def fold_quality(folds: pd.DataFrame) -> pd.DataFrame:
    """Mean Dice over test cases and labels of each fold by itself."""
    wide = folds.pivot_table(index="set", columns="fold", values="dice", sort=False)
    shown = wide.map(three).rename(columns=lambda fold: f"fold {fold}")
    shown["range"] = (wide.max(axis=1) - wide.min(axis=1)).map(three)
    return shown.rename_axis("trained on").reset_index()


def model_tests(scores: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([test(scores, pair, "dice") for pair in PAIRS], ignore_index=True)


def surface_tests(scores: pd.DataFrame) -> pd.DataFrame:
    parts = [test(scores, pair, "surface_dice") for pair in PAIRS]
    return pd.concat([part[part["label"] == "overall"] for part in parts], ignore_index=True)


def compared(scores: pd.DataFrame, pair: Sequence[str], measure: str) -> pd.DataFrame:
    sides = [scores.loc[scores["set"] == name, ["case", "label", measure]] for name in pair]
    found, _ = compare(*sides, on=["case"], label="label", names=(pair[0], pair[1]))
    return found


def test(scores: pd.DataFrame, pair: Sequence[str], measure: str) -> pd.DataFrame:
    found = compared(scores, pair, measure)
    interval = [
        f"{low:+.3f} to {high:+.3f}" for low, high in zip(found.low, found.high, strict=True)
    ]
    return pd.DataFrame(
        {
            "comparison": f"{pair[0]} - {pair[1]}",
            "label": found["label"],
            "n": found["n"],
            "difference": found["difference"].map("{:+.3f}".format),
            "95 % interval": interval,
            "p": found["p"].map(short_p),
            "p (Holm)": found["p_holm"].map(short_p),
            "effect": found["effect"].map("{:+.2f}".format),
            "Shapiro p": found["shapiro_p"].map(short_p),
            "detectable": found["detectable"].map(three),
        }
    )


def verdict(scores: pd.DataFrame, runs: Mapping[str, Run]) -> str:
    """What came out, a line for each comparison."""
    lines = []
    for fusion, run in runs.items():
        row = compared(mask_scores(run), ("filtered", "unfiltered"), "dice").iloc[-1]
        lines.append(
            f"- Masks from boxes fused by `{fusion}`, filtered against unfiltered: {words(row)}."
        )
    for a, b in PAIRS:
        row = compared(scores, (a, b), "dice").iloc[-1]
        lines.append(f"- nnU-Net trained on {a} against {b}: {words(row)}.")
    mean = scores.groupby("set")["dice"].mean()
    share = (mean["filtered"] - mean["unfiltered"]) / (mean["truth"] - mean["unfiltered"])
    lines.append(f"- Filtering makes up {share:.0%} of what unfiltered masks lose to the expert's.")
    return "\n".join(lines)


def words(row: pd.Series) -> str:
    """A difference in words; it counts as one only where its interval leaves out zero."""
    size = (
        f"{row.difference:+.3f} Dice (95 % interval {row.low:+.3f} to {row.high:+.3f}, "
        f"p {short_p(row.p)}, smallest detectable {row.detectable:.3f})"
    )
    if row.low <= 0 <= row.high:
        return f"no clear difference, {size}"
    return f"{'better' if row.difference > 0 else 'worse'}, {size}"


def settings(config: Config) -> str:
    train = config.train
    return (
        f"configuration {train.configuration}, {train.features} features in the first stage, "
        f"{train.epochs} epochs of {train.iterations} batches, planned for {train.memory_gb} GB, "
        f"{'with' if train.mirror else 'no'} mirroring, {config.dataset.folds} folds; "
        f"{len(config.dataset.test)} test cases; tolerance of the surface Dice "
        f"{config.tolerances_mm['anterior']} mm"
    )


def cpu_sentence(path: Path) -> str:
    seconds = json.loads(path.read_text(encoding="utf-8"))
    each = ", ".join(f"{step} {value / 60:.1f}" for step, value in seconds.items())
    return f"CPU minutes on 2 cores shared with other work, without a GPU: {each}."


def three(value: float) -> str:
    return f"{value:.3f}"


def two(value: float) -> str:
    return f"{value:.2f}"


def short_p(value: float) -> str:
    if np.isnan(value):
        return ""
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


def table(frame: pd.DataFrame) -> str:
    rows = [list(frame.columns), ["---"] * len(frame.columns), *frame.astype(str).to_numpy()]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def draw_scores(scores: pd.DataFrame, path: Path) -> None:
    """Dice of each test case by each model, and the mean."""
    labels = list(dict.fromkeys(scores["label"]))
    figure, axes = plt.subplots(1, len(labels), figsize=(7.2, 3.2), sharey=True)
    for axis, label in zip(axes, labels, strict=True):
        part = scores[scores["label"] == label]
        wide = part.pivot_table(index="case", columns="set", values="dice")[list(COLOURS)]
        axis.plot(range(len(COLOURS)), wide.to_numpy().T, color="0.85", lw=0.7, zorder=1)
        for place, (name, colour) in enumerate(COLOURS.items()):
            axis.scatter([place] * len(wide), wide[name], s=10, color=colour, zorder=2)
            axis.hlines(wide[name].mean(), place - 0.3, place + 0.3, color="black", lw=2, zorder=3)
        axis.set_xticks(range(len(COLOURS)), list(COLOURS))
        axis.set_title(label)
    axes[0].set_ylabel("Dice against the expert")
    save(figure, path)


def curves(run: Run) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    """Set, training loss and pseudo Dice of its folds, (folds, epochs) each."""
    folders = Folders(run.store.folder)
    for name in run.config.dataset.sets:
        dataset = dataset_name(run.config, name)
        model = model_folder(folders, dataset, run.config.train)
        files = sorted(model.glob("fold_*/checkpoint_final.pth"))
        logs = [torch.load(file, map_location="cpu", weights_only=False) for file in files]
        yield (
            name,
            np.array([log["logging"]["train_losses"] for log in logs]),
            np.array([log["logging"]["mean_fg_dice"] for log in logs]),
        )


def draw_curves(run: Run, path: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.0))
    for name, *parts in curves(run):
        for axis, values in zip(axes, parts, strict=True):
            epochs = np.arange(1, values.shape[1] + 1)
            axis.plot(epochs, values.mean(axis=0), color=COLOURS[name], label=name)
            low, high = values.min(axis=0), values.max(axis=0)
            axis.fill_between(epochs, low, high, color=COLOURS[name], alpha=0.12, lw=0)
    axes[0].set_ylabel("training loss")
    axes[1].set_ylabel("pseudo Dice on the set's own labels")
    for axis in axes:
        axis.set_xlabel("epoch")
    axes[1].legend(frameon=False)
    save(figure, path)


def save(figure: plt.Figure, path: Path) -> None:
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    kind = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    figure.savefig(path, dpi=110, metadata=kind)
    plt.close(figure)


def draw_masks(run: Run, path: Path) -> None:
    """A training case with its masks, and a test case with what the models found."""
    config, out = run.config, Folders(run.store.folder)
    training, tested = worst_training(run), worst_test(run)
    figure, axes = plt.subplots(2, len(COLOURS), figsize=(7.2, 4.4))
    for place, name in enumerate(config.dataset.sets):
        labels = out.raw / dataset_name(config, name) / "labelsTr" / f"{training}.nii.gz"
        show(axes[0, place], run, training, mask=labels, title=name)
        found = run.store.path("predictions") / name / f"{tested}.nii.gz"
        show(axes[1, place], run, tested, mask=found, title=f"trained on {name}")
    axes[0, 0].set_ylabel(f"to train on:\n{training}")
    axes[1, 0].set_ylabel(f"predicted:\n{tested}")
    save(figure, path)


def worst_training(run: Run) -> str:
    """The training case whose mask filtering changed most."""
    scores = mask_scores(run)
    wide = scores.pivot_table(index="case", columns="set", values="dice")
    return str((wide["filtered"] - wide["unfiltered"]).idxmax())


def worst_test(run: Run) -> str:
    """The test case with the median of the unfiltered model's Dice."""
    scores = model_scores(run)
    mine = scores[scores["set"] == "unfiltered"].groupby("case")["dice"].mean().sort_values()
    return str(mine.index[len(mine) // 2])


def show(axis: Axes, run: Run, case: str, *, mask: Path, title: str) -> None:
    """The slice with most of the expert's labels: mask in colour, expert's outline in white."""
    config = run.config
    image = to_grey(read_volume(image_files(config)[case])[0], config.images.window)
    truth = to_pictures(read_labels(truth_files(config)[case])[0], config.images.picture)
    plane = int((truth > 0).sum(axis=(1, 2)).argmax())
    axis.imshow(to_pictures(image, config.images.picture)[plane], cmap="gray")
    if mask.is_file():
        found = to_pictures(read_labels(mask)[0], config.images.picture)[plane]
        for value, colour in ((1, "#ff9f1c"), (2, "#2ec4b6"), (3, "#b5179e")):
            shade = np.zeros((*found.shape, 4))
            shade[found == value] = (*mpl.colors.to_rgb(colour), 0.5)
            axis.imshow(shade)
    for value in (1, 2):
        axis.contour(truth[plane] == value, [0.5], colors="white", linewidths=0.8)
    axis.set_title(title if mask.is_file() else f"{title}: left out")
    axis.set_xticks([])
    axis.set_yticks([])
