"""A folder of results as the stages would write it, with planted faults, from a seed.

Numbers in it are plausible, not computed: the report only arranges what it is given.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crowdqc.findings import Finding, Reason, Severity, Where, to_cell
from crowdqc.store import Store

ORGANS = ("spleen", "right_kidney", "left_kidney", "liver", "aorta")
HASH = "0123456789abcdef" * 4


@dataclass
class Spec:
    """What the study is like."""

    study: str = "fixture"
    n_cases: int = 6
    labels: tuple[str, ...] = ORGANS
    raters: tuple[str, ...] = ("amy", "ben", "careless", "shifted", "skipping")
    n_slices: int = 24
    run: tuple[int, int] = (6, 12)
    seed: int = 3
    stages: tuple[str, ...] = (
        "check",
        "agree",
        "fuse",
        "complete",
        "gate",
        "masks",
        "evaluate",
        "compare",
    )
    n_findings: int = 40
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    @property
    def cases(self) -> list[str]:
        return [f"{k:04d}" for k in range(1, self.n_cases + 1)]


def write_results(folder: Path, spec: Spec) -> Store:
    """Write the folder; stages that `spec` leaves out write nothing."""
    store = Store(folder, spec.study)
    runs = _runs(spec)
    boxes = _boxes(spec, runs)
    writers = {
        "check": lambda: _check(store, spec, boxes),
        "agree": lambda: _agree(store, spec),
        "fuse": lambda: _fuse(store, spec, boxes),
        "complete": lambda: _complete(store, spec, runs),
        "gate": lambda: _gate(store, spec),
        "masks": lambda: _masks(store, spec, boxes),
        "evaluate": lambda: _evaluate(store, spec),
        "compare": lambda: _compare(store, spec),
        "train": lambda: _train(store),
    }
    for stage in spec.stages:
        writers[stage]()
        store.set_stamp(stage, "stamp", [])
    return store


def _runs(spec: Spec) -> pd.DataFrame:
    """One row per case, label and rater: first and last slice, gaps, state."""
    rng = spec.rng
    rows = []
    for case in spec.cases:
        for place, label in enumerate(spec.labels):
            length = int(rng.integers(*spec.run))
            first = int(rng.integers(1, spec.n_slices - length - 1))
            for rater in spec.raters:
                gaps: list[int] = []
                state, truncated, last = "complete", "", first + length - 1
                if rng.random() < (0.35 if rater == "skipping" else 0.06):
                    inside = np.arange(first + 1, last)
                    gaps = sorted(
                        rng.choice(
                            inside, size=min(len(inside), int(rng.integers(1, 4))), replace=False
                        )
                    )
                    state = "partial"
                elif rng.random() < 0.04:
                    state, truncated, last = "partial", "high", max(first, last - 3)
                elif rng.random() < 0.02 or (case == spec.cases[0] and place == 0):
                    state = "missing"
                elif rng.random() < 0.02:
                    state = "unread"
                rows.append(
                    (
                        case,
                        label,
                        rater,
                        state,
                        first,
                        last,
                        length,
                        tuple(map(int, gaps)),
                        truncated,
                    )
                )
    columns = ["case", "label", "rater", "state", "first", "last", "length", "gaps", "truncated"]
    return pd.DataFrame(rows, columns=columns)


def _boxes(spec: Spec, runs: pd.DataFrame) -> pd.DataFrame:
    """A box on each drawn slice, round a centre that belongs to the organ."""
    drawn = runs[runs["state"].isin(["complete", "partial"])]
    slices = [
        [k for k in range(r.first, r.last + 1) if k not in r.gaps]
        for r in drawn.itertuples(index=False)
    ]
    table = (
        drawn[["case", "label", "rater", "first", "length"]].assign(slice=slices).explode("slice")
    )
    table = table.reset_index(drop=True)
    k = table["slice"].astype(int)
    organ = table["label"].map({label: place for place, label in enumerate(spec.labels)})
    phase = (k - table["first"] + 0.5) / table["length"]
    size = (30 + 9 * organ) * np.sqrt(np.sin(np.pi * np.clip(phase, 0.05, 0.95)))
    x, y = 120 + 62 * organ, 150 + 40 * (organ % 3)
    noise = table["rater"].map(lambda r: 5.0 if r == "careless" else 1.2).to_numpy()
    shift = table["rater"].map(lambda r: 5.0 if r == "shifted" else 0.0).to_numpy()
    jitter = spec.rng.normal(size=(4, len(table))) * noise
    return pd.DataFrame(
        {
            "box": np.arange(len(table)),
            "case": table["case"],
            "slice": k,
            "rater": table["rater"],
            "label": table["label"],
            "x0": x - size + shift + jitter[0],
            "y0": y - size * 0.8 + shift / 2 + jitter[1],
            "x1": x + size + 6 + shift + np.abs(jitter[2]),
            "y1": y + size * 0.8 + 6 + shift / 2 + np.abs(jitter[3]),
            "source": [f"boxes/img{c}.txt:{i % 9 + 1}" for i, c in enumerate(table["case"])],
        }
    )


def _check(store: Store, spec: Spec, boxes: pd.DataFrame) -> None:
    grid = pd.MultiIndex.from_product([spec.cases, range(spec.n_slices)], names=["case", "slice"])
    images = grid.to_frame(index=False).assign(
        height=400, width=512, spacing_x=0.8, spacing_y=0.8, spacing_z=3.0, path=""
    )
    store.write("images", images)
    readings = images[["case", "slice"]].merge(pd.DataFrame({"rater": spec.raters}), how="cross")
    store.write("readings", readings.assign(labels="", state="reviewed_empty"))
    store.write("boxes", boxes)
    kinds = [
        (
            "box-outside-image",
            Severity.REJECT,
            "x1 is 530.2 px, the image is 512 px wide; the line is left out.",
        ),
        (
            "empty-file-inferred",
            Severity.NOTE,
            "12 empty files between boxed slices count as reviewed.",
        ),
        ("box-jump", Severity.REVIEW, "The centre jumps by 41 px between slices 7 and 8."),
    ]
    findings = []
    for i in range(spec.n_findings):
        check, severity, message = kinds[i % 7 % 3]
        findings.append(
            Finding(
                check=check,
                severity=severity,
                message=message,
                case=spec.cases[i % spec.n_cases],
                slice=i % spec.n_slices,
                rater=spec.raters[i % len(spec.raters)],
                label=spec.labels[i % len(spec.labels)],
                source=f"boxes/r{i % 5}/img{i:04d}.txt:{i % 7 + 1}",
            )
        )
    store.write_findings("check", findings)


def _agree(store: Store, spec: Spec) -> None:
    store.write("raters", pd.DataFrame([_scorecard(rater, spec) for rater in spec.raters]))
    rows = [*_pooled(), *_by_label(spec), *_by_pair(spec)]
    table = pd.DataFrame({"other": ""} | row for row in rows)
    store.write("measurements", table)
    worst = spec.raters[2 % len(spec.raters)]
    message = f"Rater {worst} agrees with the others by 0.61 (upper bound 0.66); the limit is 0.70."
    finding = Finding(
        check="rater-low-agreement", severity=Severity.REJECT, message=message, rater=worst
    )
    store.write_findings("agree", [finding])


def _measured(measure: str, value: float, **more: object) -> dict[str, object]:
    low, high = value - 0.04, min(value + 0.03, 1.0)
    return {"measure": measure, "value": value, "low": low, "high": high, "n": 90, **more}


def _pooled() -> list[dict[str, object]]:
    nothing = {"value": np.nan, "low": np.nan, "high": np.nan, "n": 0}
    return [
        _measured("mean_iou", 0.824),
        _measured("alpha_box", 0.711),
        {"measure": "alpha_presence", **nothing, "why": "every slice was boxed"},
    ]


def _by_label(spec: Spec) -> list[dict[str, object]]:
    rng, rows = spec.rng, []
    for label in spec.labels:
        rows.append(_measured("mean_iou", rng.uniform(0.6, 0.92), label=label))
        rows.append(_measured("alpha_box", rng.uniform(0.6, 0.92), label=label))
        for case in spec.cases:
            value = float(np.clip(rng.normal(0.8, 0.07), 0, 1))
            rows.append(_measured("mean_iou", value, case=case, label=label))
        for rater in spec.raters:
            value = float(np.clip(rng.normal(0.8, 0.07), 0, 1))
            rows.append(_measured("rater_agreement", value, rater=rater, label=label))
    return rows


def _by_pair(spec: Spec) -> list[dict[str, object]]:
    rows = []
    for a, b in itertools.combinations(spec.raters, 2):
        bad = ("careless" in (a, b)) * 0.15 + ("shifted" in (a, b)) * 0.1
        value = float(np.clip(spec.rng.normal(0.86, 0.02) - bad, 0, 1))
        rows.append(_measured("pair_iou", value, rater=a, other=b))
    return rows


JUDGED = {"careless": "reject", "shifted": "review", "skipping": "reject"}
WHY = {
    "careless": "agreement 0.61, upper bound 0.66, is under 0.70",
    "shifted": "boxes lie 5.0 px to the right of the others'",
    "skipping": "misses 21 % of the objects that the others drew; the limit is 10 %",
}


def _scorecard(rater: str, spec: Spec) -> dict[str, object]:
    rng = spec.rng
    value = {"careless": 0.61, "shifted": 0.74, "skipping": 0.70}.get(
        rater, float(rng.uniform(0.83, 0.88))
    )
    verdict = JUDGED.get(rater, "accept")
    why = [WHY[rater]] if rater in WHY else []
    return {
        "rater": rater, "n_cases": spec.n_cases, "n_slices": 80, "n_boxes": 40 * spec.n_cases,
        "agreement": value, "agreement_low": value - 0.05, "agreement_high": value + 0.05,
        "reliability": value + 0.05, "miss_rate": 0.21 if rater == "skipping" else 0.02,
        "extra_rate": 0.004, "shift_x": 5.04 if rater == "shifted" else float(rng.normal(0, 0.3)),
        "shift_y": 2.5 if rater == "shifted" else float(rng.normal(0, 0.3)),
        "size_ratio": 1.08 if rater == "careless" else 1.004, "weight": 0.2,
        "verdict": verdict, "reasons": because(*why), **_further(rater, value),
    }  # fmt: skip


def _further(rater: str, value: float) -> dict[str, object]:
    """What the scorecards hold behind the columns of the schema."""
    shift = (5.04, 2.5) if rater == "shifted" else (0.1, -0.1)
    grown = 1.5 if rater == "careless" else 0.0
    return {
        "adjusted": value + 0.01, "adjusted_low": value - 0.04, "adjusted_high": value + 0.06,
        "bias_x0": shift[0] - grown, "bias_y0": shift[1], "bias_x1": shift[0] + grown,
        "bias_y1": shift[1], "spread": 1.2, "drift": -0.12 if rater == "careless" else 0.01,
        "gold_f1": value if rater == "careless" else np.nan,
        "faults": to_cell(["rater-drifts", "rater-scatters"] if rater == "careless" else []),
    }  # fmt: skip


def _fuse(store: Store, spec: Spec, boxes: pd.DataFrame) -> None:
    groups = boxes.groupby(["case", "slice", "label"], sort=True)
    table = groups[["x0", "y0", "x1", "y1"]].median().reset_index()
    spread = groups[["x0", "y0", "x1", "y1"]].std().fillna(0.5).to_numpy()
    support = groups.size().to_numpy()
    table = table.assign(
        support=support,
        n_raters=len(spec.raters),
        score=support / len(spec.raters),
        **{f"spread_{name}": spread[:, i] for i, name in enumerate(["x0", "y0", "x1", "y1"])},
        raters=groups["rater"].agg(" ".join).to_numpy(),
        method="edges",
        state=np.where(support >= 2, "agreed", "no_consensus"),
    )
    store.write("consensus", table)


def _complete(store: Store, spec: Spec, runs: pd.DataFrame) -> None:
    drawn = runs["state"].isin(["complete", "partial"])
    n_gaps = runs["gaps"].map(len)
    table = runs.assign(
        first=runs["first"].where(drawn),
        last=runs["last"].where(drawn),
        n_slices=(runs["last"] - runs["first"] + 1 - n_gaps).where(drawn, 0),
        n_gaps=n_gaps,
        gap_slices=runs["gaps"].map(lambda gaps: " ".join(map(str, gaps))),
        coverage=((runs["last"] - runs["first"] + 1 - n_gaps) / runs["length"]).where(drawn),
        reasons=runs["state"].map(
            {
                "partial": "fewer slices than the other raters",
                "missing": "the others drew it",
                "unread": "only empty files",
                "complete": "",
            }
        ),
    )
    store.write("completeness", table.drop(columns=["length", "gaps"]))
    work = table[table["state"] != "complete"]
    tasks = work[["rater", "case", "label"]].assign(
        task="draw", slices="7 9-11", n_slices=4, why='["organ-gap", "run-short"]'
    )
    store.write("todo", tasks.sort_values("rater", kind="stable"))


def _gate(store: Store, spec: Spec) -> None:
    left_out = spec.cases[: max(spec.n_cases // 5, 1)]
    rule = {
        "measure": "agreement",
        "scope": "rater",
        "op": ">=",
        "limit": 0.7,
        "severity": "reject",
        "because": "under it two of three boxes are of no use",
    }
    raters = [
        {"rater": r, **_verdict(JUDGED.get(r, "accept"), WHY.get(r, ""))} for r in spec.raters
    ]
    cases = []
    for case in spec.cases:
        verdict = "reject" if case in left_out else "accept"
        labels = {spec.labels[0]: _verdict(verdict, "nobody drew it")}
        cases.append({"case": case, **_verdict(verdict, "spleen is missing"), "labels": labels})
    prompts = store.read("consensus").head(200) if store.has("consensus") else pd.DataFrame()
    manifest = {
        "format_version": 2,
        "study": spec.study,
        "crowdqc": "0.1.0",
        "created_from": {"boxes.csv": HASH, "raters.csv": HASH},
        "policy": {"rules": [rule]},
        "verdict": "reject",
        "raters": raters,
        "cases": cases,
        "prompts": json.loads(prompts.to_json(orient="records")),
        "counts": {"cases": spec.n_cases},
    }
    store.write_text("manifest.json", json.dumps(manifest))


def _verdict(verdict: str, why: str) -> dict[str, object]:
    return {"verdict": verdict, "reasons": [] if verdict == "accept" else [reason(why)]}


def reason(because: str, **fields: Any) -> dict[str, Any]:
    """A reason as the manifest holds it."""
    where = Where(**fields.pop("where", {}))
    return Reason(measure="x", because=because, where=where, **fields).to_record()


def because(*texts: str) -> str:
    """Reasons as raters.csv holds them."""
    return to_cell([reason(text) for text in texts])


def _masks(store: Store, spec: Spec, boxes: pd.DataFrame) -> None:
    table = boxes[["case", "slice", "label"]].drop_duplicates().reset_index(drop=True)
    n, rng = len(table), spec.rng
    dice = np.clip(rng.beta(18, 2, n), 0.2, 0.99)
    table = table.assign(model="intensity", n_prompts=16, area_px=rng.integers(300, 9000, n))
    table = table.assign(stability=dice, entropy=1 - dice, pairwise_dice=dice, expected_dice=dice)
    table = table.assign(box_iou=dice, z_dice=dice, interpolated=False, risk=1 - dice)
    store.write("masks", table)


def _evaluate(store: Store, spec: Spec) -> None:
    rows = []
    for case, label in itertools.product(spec.cases, spec.labels):
        base = float(np.clip(spec.rng.normal(0.8, 0.06), 0, 0.97))
        gain = float(spec.rng.normal(0.025, 0.02))
        rows.append(("filtered", case, label, min(base + gain, 0.99)))
        rows.append(("unfiltered", case, label, base))
    scores = pd.DataFrame(rows, columns=["set", "case", "label", "dice"])
    store.write("scores", scores.assign(slice=np.nan))


def _train(store: Store) -> None:
    """As if models had been trained on the masks: scores that lie a little lower."""
    for name in ("scores", "comparison"):
        store.write(f"model_{name}", store.read(name))


def _compare(store: Store, spec: Spec) -> None:
    labels = ["overall", *spec.labels]
    step = np.arange(len(labels))
    table = pd.DataFrame({"label": labels, "a": "filtered", "b": "unfiltered"})
    table = table.assign(n=spec.n_cases, mean_a=0.8031234567891234, ci_a=0.02, mean_b=0.7772)
    table = table.assign(ci_b=0.03, difference=0.026 - step * 0.004, low=0.011 - step * 0.005)
    table = table.assign(high=0.041, test="wilcoxon", statistic=12.0, p=0.008 + step * 0.01)
    store.write("comparison", table.assign(p_holm=0.04, effect=0.6, shapiro_p=0.01))
