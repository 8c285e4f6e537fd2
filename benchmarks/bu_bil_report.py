"""The page on BU-BIL: result files of `bu_bil.py` into reports/data, and the page from these."""

from __future__ import annotations

import itertools
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import photographs
import risk
from draws import crossed_interval, read_unit, say, signed, table, verdict
from matplotlib import pyplot as plt

BAD = 0.5
"""A mask with a Dice below it is bad."""
WAYS = {
    "one": "own mask of one worker",
    "majority": "own masks, majority",
    "staple": "own masks, STAPLE",
    "mean": "boxes, `mean`, embedded model",
    "median": "boxes, `median`, embedded model",
    "edges": "boxes, default, embedded model",
    "ellipse": "ellipse in the default box",
}
ARMS = {
    "one": "one worker's own mask",
    "majority": "majority of the own masks",
    "edges": "masks of default boxes",
    "gate": "the same, with the gate",
    "gold": "gold",
}
COLOURS = dict(
    zip(
        WAYS, ["0.5", "#55a868", "#2e7d4f", "#dd8452", "#c44e52", "#4c72b0", "#8172b3"], strict=True
    )
)
FILES = ("masks", "shipped", "networks", "nnunet", "photographs")


def write_report(out: Path, report: Path) -> None:
    """Result files of what is done so far, picture and page."""
    data = report / "data"
    data.mkdir(parents=True, exist_ok=True)
    collect(out, data)
    if not (data / "bu_bil_masks.csv").is_file():
        say("no masks are scored yet, so there is no page")
        return
    mpl.rcParams.update({"svg.hashsalt": "crowdqc", "font.size": 9, "svg.fonttype": "none"})
    masks, networks = (read(data / f"bu_bil_{name}.csv") for name in ("masks", "networks"))
    draw_curves(masks, networks, report / "images" / "bu_bil.svg")
    (report / "bu_bil.md").write_text(page(data), encoding="utf-8")


def page(data: Path) -> str:
    """The page, from the result files alone."""
    found = {name: read(data / f"bu_bil_{name}.csv") for name in FILES}
    text = Path(__file__).with_name("bu_bil_page.md").read_text(encoding="utf-8")
    return text.format(**parts(found))


def collect(out: Path, data: Path) -> None:
    """Units of work as a file for each part; a part of which nothing is done keeps its file."""
    for name in FILES:
        folder = out / {"nnunet": "nnunet_scores"}.get(name, name)
        units = [read_unit(path) for path in sorted(folder.glob("*.csv"))]
        if not units:
            continue
        frame = pd.concat(units, ignore_index=True)
        if name == "masks":
            frame = frame.sort_values(["workers", "draw", "case"])
        if name == "networks":
            frame["network"] = [
                f"{row.arm}-{row.workers}-{row.draw}-{row.trained_on}" for row in frame.itertuples()
            ]
            frame = frame.pivot_table(index="case", columns="network", values="dice").reset_index()
        path = data / f"bu_bil_{name}.csv"
        frame.to_csv(path, index=False, float_format="%.3f", lineterminator="\n")


def read(path: Path) -> pd.DataFrame:
    frame = read_unit(path) if path.is_file() else pd.DataFrame({"case": []})
    if path.stem.endswith("networks"):
        frame = frame.melt("case", var_name="network", value_name="dice")
        names = ["arm", "workers", "draw", "trained_on"]
        frame[names] = [name.split("-") for name in frame["network"]] or np.zeros((0, 4))
        return frame.astype({"workers": int, "draw": int, "trained_on": int})
    return frame


def parts(found: dict[str, pd.DataFrame]) -> dict[str, str]:
    masks, networks = found["masks"], found["networks"]
    return {
        **numbers(masks, networks),
        "masks": table(mask_quality(masks)),
        "mask_contrasts": table(mask_contrasts(masks)),
        "gate": table(gate_quality(masks)),
        "shipped": shipped(found["shipped"], masks),
        "networks": table(network_quality(networks)),
        "network_contrasts": table(network_contrasts(networks)),
        "price": table(price(masks, networks)),
        "nnunet": nnunet(found["nnunet"]),
        "nnunet_summary": nnunet_summary(found["nnunet"]),
        "photographs": photographs.part(found["photographs"]),
        "undone": undone(networks),
    }


def wide(frame: pd.DataFrame, column: str, workers: int) -> pd.DataFrame:
    """Values of a column, draws by images; an image without a mask has a Dice of 0."""
    own = frame[frame["workers"] == workers]
    return own.pivot_table(index="draw", columns="case", values=column, dropna=False)


def difference(frame: pd.DataFrame, a: str, b: str, *, workers: int) -> tuple[float, float, float]:
    return crossed_interval(
        (wide(frame, a, workers).fillna(0) - wide(frame, b, workers).fillna(0)).to_numpy()
    )


def mask_quality(masks: pd.DataFrame) -> pd.DataFrame:
    """Mean Dice to gold by way, workers and set."""
    rows = []
    for way, title in WAYS.items():
        of = masks.assign(dice=masks[way].fillna(0)).groupby(["set", "workers"])["dice"].mean()
        row = {"masks": title}
        for name in ("set1", "set4", "set5"):
            values = [f"{of[name, n]:.3f}" for n in sorted(masks["workers"].unique())]
            row[f"set {name[3:]}: 1, 2, 3, 5, 7 workers"] = " ".join(values)
        rows.append(row)
    return pd.DataFrame(rows)


def mask_contrasts(masks: pd.DataFrame) -> pd.DataFrame:
    pairs = [("edges", "mean"), ("edges", "median"), ("staple", "majority"), ("majority", "edges")]
    pairs.append(("ellipse", "edges"))
    rows = []
    for a, b in pairs:
        row = {"difference of mean Dice, all 154 images": f"{WAYS[a]} - {WAYS[b]}"}
        for n in sorted(set(masks["workers"]) - {1}):
            row[f"{n} workers"] = signed(difference(masks, a, b, workers=n))
        rows.append(row)
    return pd.DataFrame(rows)


def roc_area(masks: pd.DataFrame) -> float:
    """How often a bad mask has the higher risk of a pair with a good one."""
    return risk.roc_area((masks["edges"] < BAD).to_numpy(), masks["risk"].to_numpy())


def gate_quality(masks: pd.DataFrame) -> pd.DataFrame:
    """What the gate withholds, and what it lets through."""
    rows = []
    for n, own in masks.groupby("workers"):
        there = own[own["edges"].notna()]
        kept = there[there["kept"] == 1]
        rows.append(
            {
                "workers": n,
                "images without a usable box": f"{1 - len(there) / len(own):.1%}",
                "boxes withheld": f"{1 - (there['kept_boxes'] == 1).mean():.1%}",
                "masks withheld, too": f"{1 - len(kept) / len(there):.1%}",
                "Dice, all": f"{there['edges'].mean():.3f}",
                "Dice, kept": f"{kept['edges'].mean():.3f}",
                "bad, all": f"{(there['edges'] < BAD).mean():.1%}",
                "bad, kept": f"{(kept['edges'] < BAD).mean():.1%}",
                "mean risk": f"{there['risk'].mean():.3f}",
                "area under ROC of the risk": f"{roc_area(there):.2f}",
            }
        )
    return pd.DataFrame(rows)


def shipped(found: pd.DataFrame, masks: pd.DataFrame) -> str:
    if found.empty:
        return "Masks of 16 prompts, as `crowdqc masks` draws them, have not been measured."
    one = masks[(masks["workers"] == 3) & (masks["draw"] == 0)].set_index("case")["edges"]
    both = found.set_index("case")["dice"]
    change = signed(crossed_interval((both - one.reindex(both.index)).to_numpy()[None]))
    return (
        "The masks above are those of one prompt, the fused box. With the 16 prompts of `crowdqc "
        f"masks` (one draw of three workers) the mean Dice is {both.mean():.3f}, {change} beside "
        f"one prompt, and the gate keeps {found['kept'].sum()} of {len(found)} masks, "
        f"{(found['dice'] < BAD).sum()} of which are bad."
    )


def matrix(networks: pd.DataFrame, arm: str, workers: int) -> pd.DataFrame:
    own = networks[(networks["arm"] == arm) & (networks["workers"] == workers)]
    return own.pivot_table(index="draw", columns="case", values="dice")


def network_quality(networks: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for arm, title in ARMS.items():
        row = {"trained on": title}
        for n in (1, 2, 3, 5, 7):
            values = matrix(networks, arm, n)
            row[f"{n} workers"] = f"{values.to_numpy().mean():.3f}" if len(values) else ""
        row["trainings"] = (
            networks[networks["arm"] == arm].drop_duplicates(["workers", "draw"]).shape[0]
        )
        rows.append(row)
    return pd.DataFrame(rows)


def network_difference(
    networks: pd.DataFrame, a: tuple[str, int], b: tuple[str, int]
) -> tuple[float, float, float] | None:
    """Difference on the draws that both have; None where there is none."""
    one, other = matrix(networks, *a), matrix(networks, *b)
    both = one.index.intersection(other.index)
    if not len(both):
        return None
    return crossed_interval((one.loc[both] - other.loc[both]).to_numpy())


PAIRS = {
    "default, gate - default": lambda n: (("gate", n), ("edges", n)),
    "default - majority of own masks": lambda n: (("edges", n), ("majority", n)),
    "majority of own masks - one worker": lambda n: (("majority", n), ("one", 1)),
    "default - one worker's own mask": lambda n: (("edges", n), ("one", 1)),
    "gold - majority of own masks": lambda n: (("gold", 7), ("majority", n)),
}


def network_contrasts(networks: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for title, pair in PAIRS.items():
        row = {"difference of mean Dice": title}
        for n in (1, 2, 3, 5, 7):
            found = network_difference(networks, *pair(n))
            row[f"{n} workers"] = "" if found is None else signed(found)
        rows.append(row)
    return pd.DataFrame(rows)


def workers_for(curve: dict[int, float], target: float) -> str:
    """Where a curve of Dice over workers first reaches a target, between whole numbers."""
    known = sorted(curve)
    if curve[known[0]] >= target:
        return f"{known[0]}"
    for low, high in itertools.pairwise(known):
        if curve[high] >= target > curve[low]:
            return f"{low + (high - low) * (target - curve[low]) / (curve[high] - curve[low]):.1f}"
    return f"not with {known[-1]}"


def price(masks: pd.DataFrame, networks: pd.DataFrame) -> pd.DataFrame:
    """Workers an image for the Dice that some number reaches without quality control."""
    own = masks[masks["set"] != "set1"]
    means = {
        way: own.groupby("workers")[way].mean().to_dict()
        for way in ("majority", "median", "staple")
    }
    kept = own[own["kept"] == 1].groupby("workers")
    used = own.groupby("workers")["kept"].mean()
    with_gate = kept["edges"].mean().to_dict()
    staple_kept = kept["staple"].mean().to_dict()
    return pd.DataFrame(
        {
            "without quality control": f"{n} workers",
            "boxes to masks: Dice of `median`": f"{means['median'][n]:.3f}",
            "default with gate needs": workers_for(with_gate, means["median"][n]),
            "own masks: Dice of the majority": f"{means['majority'][n]:.3f}",
            "STAPLE with gate needs": workers_for(staple_kept, means["majority"][n]),
            "images kept": f"{used[n]:.1%}",
            **network_price(networks, n),
        }
        for n in (2, 3, 5)
    )


def network_price(networks: pd.DataFrame, n: int) -> dict[str, str]:
    curves = {
        arm: {k: v.to_numpy().mean() for k in (1, 2, 3, 5, 7) if len(v := matrix(networks, arm, k))}
        for arm in ("edges", "gate")
    }
    if n not in curves["edges"] or not curves["gate"]:
        return {"network: Dice of default": "", "default with gate needs ": ""}
    target = curves["edges"][n]
    return {
        "network: Dice of default": f"{target:.3f}",
        "default with gate needs ": workers_for(curves["gate"], target),
    }


def nnunet(found: pd.DataFrame) -> str:
    if found.empty:
        return "No fold has been trained yet."
    done = found.groupby("arm")["fold"].nunique().to_dict()
    same = sorted(set.intersection(*(set(of["fold"]) for _, of in found.groupby("arm"))))
    if len(done) < 2 or not same:
        each = ", ".join(f"{ARMS[arm]} {n} of 5" for arm, n in done.items())
        mean = ", ".join(f"{ARMS[arm]} {of['dice'].mean():.3f}" for arm, of in found.groupby("arm"))
        return f"Folds trained so far: {each}; mean Dice on their images: {mean}."
    values = found[found["fold"].isin(same)].pivot_table(index="case", columns="arm", values="dice")
    rows = [
        {
            "trained on": ARMS[arm],
            "images": len(values),
            "Dice": f"{values[arm].mean():.3f}",
            "less default": signed(
                crossed_interval((values[arm] - values["edges"]).to_numpy()[None])
            )
            if arm != "edges" and "edges" in values
            else "",
        }
        for arm in ARMS
        if arm in values
    ]
    return f"Folds {', '.join(map(str, same))} of 5, one training each:\n\n" + table(
        pd.DataFrame(rows)
    )


def nnunet_summary(found: pd.DataFrame) -> str:
    """The same in a line of the summary, once all folds of all sets are there; else nothing."""
    if found.empty or found.groupby("arm")["fold"].nunique().reindex(ARMS).ne(5).any():
        return ""
    of = found.pivot_table(index="case", columns="arm", values="dice")
    one, most, boxes, gate, gold = (f"{of[arm].mean():.3f}" for arm in ARMS)
    gap = verdict(crossed_interval((of["gold"] - of["one"]).to_numpy()[None]))
    return (
        f"- nnU-Net, three workers: trained on gold {gold}, on the majority of own masks {most},\n"
        f"  on one worker's {one} (gold against it: {gap}),\n"
        f"  on masks of default boxes {boxes}, the same with the gate {gate}."
    )


def numbers(masks: pd.DataFrame, networks: pd.DataFrame) -> dict[str, str]:
    """What the summary says of three workers."""
    there = masks[(masks["workers"] == 3) & masks["edges"].notna()]
    bad = there["edges"] < BAD
    kept = there["kept"] == 1
    found = {
        "own": f"{there['majority'].mean():.3f}",
        "boxes": f"{there['edges'].mean():.3f}",
        "ellipse": f"{there['ellipse'].mean():.3f}",
        "bad": f"{bad.mean():.0%}",
        "kept": f"{kept.mean():.1%}",
        "bad_kept": f"{bad[kept].mean():.0%}",
        "risk": f"{there['risk'].mean():.3f}",
        "against_mean": verdict(difference(masks, "edges", "mean", workers=3)),
        "against_median": verdict(difference(masks, "edges", "median", workers=3)),
    }
    lines = []
    for title, pair in list(PAIRS.items())[:3]:
        change = network_difference(networks, *pair(3)) if len(networks) else None
        if change is not None:
            lines.append(f"- Network, three workers, {title}: {verdict(change)}.")
    return found | {"summary": "\n".join(lines)}


def undone(networks: pd.DataFrame) -> str:
    done = len(networks.drop_duplicates(["arm", "workers", "draw"])) if len(networks) else 0
    of = 3 * (2 + 2 + 4 * 3)
    return f"{done} of {of} networks (five folds each) are done."


def draw_curves(masks: pd.DataFrame, networks: pd.DataFrame, path: Path) -> None:
    figure, axes = plt.subplots(1, 3, figsize=(9.0, 3.4))
    for axis, names in zip(axes, (["set1"], ["set4", "set5"]), strict=False):
        own = masks[masks["set"].isin(names)]
        for way, title in WAYS.items():
            curve = own.assign(dice=own[way].fillna(0)).groupby("workers")["dice"].mean()
            axis.plot(
                curve.index,
                curve,
                "o-",
                ms=3,
                lw=1,
                color=COLOURS[way],
                label=title.replace("`", ""),
            )
        axis.set_title("masks, " + " and ".join(f"set {name[3:]}" for name in names))
    for arm, title in ARMS.items():
        curve = {
            n: v.to_numpy().mean() for n in (1, 2, 3, 5, 7) if len(v := matrix(networks, arm, n))
        }
        if arm == "gold" and curve:
            axes[2].axhline(curve[7], color="black", lw=0.8, label=title)
        else:
            axes[2].plot(
                curve.keys(),
                curve.values(),
                "s--" if arm == "gate" else "o-",
                ms=4,
                lw=1,
                mfc="none",
                label=title,
            )
    axes[2].set_title("networks, sets 4 and 5")
    for axis in axes:
        axis.set_xlabel("workers an image")
        axis.set_xticks([1, 2, 3, 5, 7])
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("mean Dice to gold")
    axes[0].legend(frameon=False, fontsize=6)
    axes[2].legend(frameon=False, fontsize=6, loc="center right", bbox_to_anchor=(1.0, 0.62))
    figure.tight_layout()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
