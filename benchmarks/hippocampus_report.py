"""The page on hippocampi: result files of `hippocampus.py` into reports/data, and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from draws import crossed_interval, read_unit, say, signed, table
from matplotlib import pyplot as plt

DOSE = ["faults", "careless", "per_case"]
METHODS = {"mean": "#dd8452", "median": "#c44e52", "edges": "#4c72b0"}
NAMES = {"mean": "`mean`", "median": "`median`", "edges": "default"}
GATES = {"none": "no gate", "gate": "gate", "ignore": "gate, ignore", "robust": "robust loss"}
MAIN = [("noticed", 2, 2), ("noticed", 2, 3), ("other", 2, 2), ("other", 2, 3)]
CONTRASTS = {
    "default, gate - default, no gate": (("edges", "gate"), ("edges", "none")),
    "default - `mean`, no gate": (("edges", "none"), ("mean", "none")),
    "default - `median`, no gate": (("edges", "none"), ("median", "none")),
    "default, ignore - default, no gate": (("edges", "ignore"), ("edges", "none")),
    "`mean`, gate - `mean`, no gate": (("mean", "gate"), ("mean", "none")),
    "`mean`, ignore - `mean`, no gate": (("mean", "ignore"), ("mean", "none")),
    "`mean`, robust loss - `mean`, no gate": (("mean", "robust"), ("mean", "none")),
    "truth - default, no gate": (("truth", "none"), ("edges", "none")),
}
"""The first two are the main contrasts."""


def write_report(out: Path, report: Path) -> None:
    """Result files of what is done so far, pictures and page."""
    data = report / "data"
    data.mkdir(parents=True, exist_ok=True)
    collect(out, data)
    if not (data / "hippocampus_masks.csv").is_file():
        say("no masks are scored yet, so there is no page")
        return
    mpl.rcParams.update({"svg.hashsalt": "crowdqc", "font.size": 9, "svg.fonttype": "none"})
    draw_doses(read_unit(data / "hippocampus_masks.csv"), report / "images/hippocampus_doses.svg")
    networks = read_networks(data / "hippocampus_networks.csv")
    draw_network_doses(networks, report / "images" / "hippocampus_networks.svg")
    draw_contrasts(networks, report / "images" / "hippocampus_contrasts.svg")
    (report / "hippocampus.md").write_text(page(data), encoding="utf-8")


def page(data: Path) -> str:
    """The page, from the result files alone."""
    masks = read_unit(data / "hippocampus_masks.csv")
    networks = read_networks(data / "hippocampus_networks.csv")
    nnunet = read_networks(data / "hippocampus_nnunet.csv")
    text = Path(__file__).with_name("hippocampus_page.md").read_text(encoding="utf-8")
    return text.format(
        mask_doses=table(mask_doses(masks)),
        mask_gate=table(mask_gate(masks)),
        networks=table(network_quality(networks)),
        contrasts=table(network_contrasts(networks)),
        nnunet=nnunet_part(nnunet),
        main=table(
            main_contrasts(masks, {"nnU-Net": nnunet, "small network": networks}),
        ),
        undone=undone(masks, networks, nnunet),
    )


def collect(out: Path, data: Path) -> None:
    """Units of work as a file for each part; a part of which nothing is done keeps its file."""
    units = [read_unit(path) for path in sorted((out / "masks").glob("*.csv"))]
    if units:
        frame = pd.concat(units, ignore_index=True)
        values = ["dice", "dice_gate", "kept", "ignored"]
        wide = frame.pivot_table(index=[*DOSE, "draw", "case"], columns="method", values=values)
        wide.columns = [f"{value}_{method}" for value, method in wide.columns]
        write(wide.reset_index(), data / "hippocampus_masks.csv")
    truth = [
        read_unit(path).assign(method="truth", gate="none", faults="none", careless=0, per_case=0)
        for path in sorted((out / "truth").glob("*.csv"))
    ]
    for name, pattern, more in (
        ("networks", "networks/*/*.csv", truth),
        ("nnunet", "nnunet/*/*.csv", []),
    ):
        units = [*(read_unit(path) for path in sorted(out.glob(pattern))), *more]
        units = [unit for unit in units if len(unit)]
        if units:
            keys = [*DOSE, "draw", "method", "gate", "seed"]
            wide = pd.concat(units).pivot_table(index=keys, columns="case", values="dice")
            write(wide.reset_index(), data / f"hippocampus_{name}.csv")


def write(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False, float_format="%.3f", lineterminator="\n")


def read_networks(path: Path) -> pd.DataFrame:
    """A row for each network, a column for each test case."""
    keys = [*DOSE, "draw", "method", "gate", "seed"]
    frame = pd.read_csv(path) if path.is_file() else pd.DataFrame({key: [] for key in keys})
    return frame.set_index(keys)


def doses(frame: pd.DataFrame) -> list[tuple[str, int, int]]:
    known = frame[DOSE].drop_duplicates().itertuples(index=False, name=None)
    return sorted(known, key=lambda it: (it[0], it[2], it[1]))


def mask_matrix(masks: pd.DataFrame, dose: Sequence, column: str) -> np.ndarray:
    """Values of a column, (draws, cases)."""
    own = masks[(masks[DOSE] == list(dose)).all(axis=1)]
    return own.pivot_table(index="draw", columns="case", values=column, dropna=False).to_numpy()


def mask_doses(masks: pd.DataFrame) -> pd.DataFrame:
    """Dice of all masks by dose, and fusion against fusion."""
    rows = []
    for dose in doses(masks):
        of = {method: mask_matrix(masks, dose, f"dice_{method}") for method in METHODS}
        rows.append(
            {
                "faults": dose[0] if dose[1] else "none",
                "careless of 5": dose[1],
                "raters a case": dose[2],
                "draws": len(of["mean"]),
                **{NAMES[method]: f"{values.mean():.3f}" for method, values in of.items()},
                "default - `mean`": signed(crossed_interval(of["edges"] - of["mean"])),
                "default - `median`": signed(crossed_interval(of["edges"] - of["median"])),
            }
        )
    return pd.DataFrame(rows)


def gate_change(masks: pd.DataFrame, dose: Sequence, method: str) -> np.ndarray:
    """What the gate changes in the Dice of each case that it keeps; of one left out, nothing."""
    kept = mask_matrix(masks, dose, f"kept_{method}") == 1
    after, before = (mask_matrix(masks, dose, f"{it}_{method}") for it in ("dice_gate", "dice"))
    return np.where(kept, after - before, 0.0)


def left_out(masks: pd.DataFrame, dose: Sequence, *, method: str, kept: np.ndarray) -> str:
    """Share of the cases that the gate leaves out, and the Dice that their masks have."""
    lost = mask_matrix(masks, dose, f"dice_{method}")[~kept]
    return f"{1 - kept.mean():.1%}" + (f" (Dice {lost.mean():.3f})" if len(lost) else "")


def mask_gate(masks: pd.DataFrame) -> pd.DataFrame:
    """What the gate does to masks, by dose."""
    rows = []
    for dose in doses(masks):
        row = {
            "faults": dose[0] if dose[1] else "none",
            "careless of 5": dose[1],
            "raters a case": dose[2],
        }
        for method in ("mean", "edges"):
            kept = mask_matrix(masks, dose, f"kept_{method}") == 1
            ignored = mask_matrix(masks, dose, f"ignored_{method}")
            change = crossed_interval(gate_change(masks, dose, method))
            row |= {
                f"{NAMES[method]}: cases left out": left_out(masks, dose, method=method, kept=kept),
                f"{NAMES[method]}: voxels ignored": f"{np.nanmean(ignored):.1%}",
                f"{NAMES[method]}: Dice, gate - no gate": signed(change),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def arm(networks: pd.DataFrame, dose: Sequence, what: tuple[str, str]) -> pd.DataFrame:
    """Dice by draw and case, the mean over trainings; empty where there is none."""
    method, gate = what
    key = ("none", 0, 0) if method == "truth" else tuple(dose)
    own = [(*key, method, gate) == (*it[:3], it[4], it[5]) for it in networks.index]
    return networks[own].groupby("draw").mean()


def contrast(
    networks: pd.DataFrame, dose: Sequence, name: str
) -> tuple[float, float, float] | None:
    """A contrast on the draws that both sides have; None where there is none."""
    a, b = (arm(networks, dose, side) for side in CONTRASTS[name])
    both = a.index.intersection(b.index)
    return crossed_interval((a.loc[both] - b.loc[both]).to_numpy()) if len(both) else None


def network_doses(networks: pd.DataFrame) -> list[tuple]:
    known = doses(networks.reset_index())
    return [dose for dose in known if dose[0] != "none"]


def dose_name(dose: Sequence) -> str:
    return f"{dose[0]}, {dose[1]} of 5, {dose[2]} a case"


def network_quality(networks: pd.DataFrame) -> pd.DataFrame:
    """Mean Dice of the test cases, a row for each dose and a column for each arm."""
    arms = [(m, g) for m in ("edges", "median", "mean") for g in ("none", "gate", "ignore")]
    rows = []
    for dose in network_doses(networks):
        row = {"faults": dose_name(dose)}
        for method, gate in [*arms, ("mean", "robust"), ("truth", "none")]:
            values = arm(networks, dose, (method, gate))
            name = f"{NAMES[method]}, {GATES[gate]}" if method != "truth" else "truth"
            row[name] = f"{values.to_numpy().mean():.3f} ({len(values)})" if len(values) else ""
        rows.append(row)
    return pd.DataFrame(rows)


def network_contrasts(networks: pd.DataFrame) -> pd.DataFrame:
    """Contrasts with their intervals, a row for each dose."""
    rows = []
    for dose in network_doses(networks):
        row = {"faults": dose_name(dose)}
        for name in CONTRASTS:
            found = contrast(networks, dose, name)
            row[name] = "" if found is None else signed(found)
        rows.append(row)
    return pd.DataFrame(rows)


def main_contrasts(masks: pd.DataFrame, trained: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The main contrasts, of masks and of each kind of network."""
    known = doses(masks)
    rows = [
        _main_row("masks", dose, _mask_contrasts(masks, dose)) for dose in MAIN if dose in known
    ]
    for what, networks in trained.items():
        for dose in [dose for dose in MAIN if dose in network_doses(networks)]:
            found = [contrast(networks, dose, name) for name in list(CONTRASTS)[:2]]
            rows.append(_main_row(what, dose, found))
    return pd.DataFrame(rows)


def _mask_contrasts(masks: pd.DataFrame, dose: Sequence) -> list[tuple[float, float, float]]:
    edges, mean = (mask_matrix(masks, dose, f"dice_{method}") for method in ("edges", "mean"))
    return [
        crossed_interval(gate_change(masks, dose, "edges")),
        crossed_interval(edges - mean),
    ]


def _main_row(what: str, dose: Sequence, found: Sequence) -> dict[str, str]:
    names = ("default: gate - no gate", "no gate: default - `mean`")
    said = ["" if one is None else _with_width(one) for one in found]
    return {"Dice of": what, "crowd": dose_name(dose)} | dict(zip(names, said, strict=True))


def _with_width(found: tuple[float, float, float]) -> str:
    """A difference with its interval; a star where that is too wide to see .01."""
    return signed(found) + ("" if found[2] - found[1] < 0.02 else " *")


def nnunet_part(nnunet: pd.DataFrame) -> str:
    if not len(nnunet):
        return "No nnU-Net has been trained with this state of the code."
    quality = network_quality(nnunet)
    return table(quality.loc[:, (quality != "").any()])


def undone(masks: pd.DataFrame, networks: pd.DataFrame, nnunet: pd.DataFrame) -> str:
    drawn = len(masks[[*DOSE, "draw"]].drop_duplicates())
    trained = sum(key[4] != "truth" for key in networks.index)
    return (
        f"Done: {drawn} of 90 crowds with their masks (5 draws of 18 doses); {trained} of 660 "
        "small networks (10 arms, 3 draws; 2 trainings at the 4 doses of the main contrasts, 1 "
        f"at the 14 others); {len(nnunet)} of 36 nnU-Nets. What is not done stands in no table, "
        "and neither does an arm of which the gate leaves no case; the same commands go on with it."
    )


def draw_doses(masks: pd.DataFrame, path: Path) -> None:
    """Dice of masks over the number of careless raters."""
    known = doses(masks)
    lines = {
        (NAMES[method].strip("`"), colour, "-"): {
            dose: mask_matrix(masks, dose, f"dice_{method}").mean(axis=1) for dose in known
        }
        for method, colour in METHODS.items()
    }
    _draw_lines(lines, path, ylabel="Dice of masks to expert's")


def draw_network_doses(networks: pd.DataFrame, path: Path) -> None:
    """Dice of test cases over the number of careless raters."""
    known = doses(networks.reset_index())
    lines = {
        (f"{NAMES[m].strip('`')}, {GATES[g]}", METHODS[m], "--" if g == "gate" else "-"): {
            dose: values.to_numpy().mean(axis=1)
            for dose in known
            if len(values := arm(networks, dose, (m, g)))
        }
        for m, g in [("mean", "none"), ("edges", "none"), ("edges", "gate")]
    }
    _draw_lines(lines, path, ylabel="Dice of the small network")


def _draw_lines(lines: Mapping[tuple, Mapping[tuple, np.ndarray]], path: Path, ylabel: str) -> None:
    """Means over draws (lines) and single draws (dashes) for each kind of fault."""
    figure, axes = plt.subplots(1, 4, figsize=(9.0, 2.9), sharey=True)
    panels = [(f, k) for f in ("noticed", "other") for k in (2, 3)]
    for axis, (faults, per_case) in zip(axes, panels, strict=True):
        for (name, colour, style), of in lines.items():
            known = [d for d in of if d[2] == per_case and (d[0] == faults or not d[1])]
            known.sort(key=lambda it: it[1])
            at = [dose[1] for dose in known]
            means = [of[dose].mean() for dose in known]
            axis.plot(at, means, f"o{style}", ms=3, color=colour, label=name)
            for place, dose in zip(at, known, strict=True):
                axis.plot([place] * len(of[dose]), of[dose], "_", ms=5, color=colour, alpha=0.5)
        axis.set_title(f"{faults} faults, {per_case} a case")
        axis.set_xlabel("careless of 5")
        axis.set_xticks(range(5))
    axes[0].set_ylabel(ylabel)
    axes[-1].legend(frameon=False, loc="lower left")
    save(figure, path)


def draw_contrasts(networks: pd.DataFrame, path: Path) -> None:
    """Contrasts of networks with their intervals, at the doses of the main contrasts."""
    known = [dose for dose in MAIN if dose in network_doses(networks)]
    figure, axes = plt.subplots(
        1, max(len(known), 1), figsize=(9.0, 3.0), sharex=True, sharey=True, squeeze=False
    )
    for axis, dose in zip(axes[0], known, strict=False):
        for place, name in enumerate(CONTRASTS):
            found = contrast(networks, dose, name)
            if found is not None:
                axis.plot(found[1:], [-place] * 2, color="#4c72b0", lw=1.5)
                axis.plot(found[0], -place, "o", color="#4c72b0" if place > 1 else "#c44e52", ms=4)
        axis.axvline(0, color="0.6", lw=0.8)
        axis.set_title(dose_name(dose), fontsize=8)
        axis.set_xlabel("difference of Dice")
    axes[0][0].set_ylim(0.5 - len(CONTRASTS), 0.5)
    axes[0][0].set_yticks(
        [-k for k in range(len(CONTRASTS))], [it.replace("`", "") for it in CONTRASTS]
    )
    save(figure, path)


def save(figure: plt.Figure, path: Path) -> None:
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
