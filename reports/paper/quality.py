"""What the default gate would have done to the study: from its boxes alone, beside its scores."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from crowdqc.judge import Manifest
from crowdqc.stages.pipeline import PIPELINE, open_run
from reports.paper.file import Annotations
from reports.paper.scores import Pairing

VERDICTS = ("accept", "review", "reject")
BAD = 0.5
"""A mask of which less than half is right: its Dice is below this."""


@dataclass(frozen=True)
class Quality:
    """The gate beside the paper's choice, and beside the scores of SAM's masks."""

    cases: pd.DataFrame
    """``case, paper, gate, accept, review, reject, kept, dice``: labels by verdict, whether the
    filtered dataset holds the case, and the mean volume Dice of its masks (nan: not scored)."""
    masks: pd.DataFrame
    """``verdict, n, dice, n_bad``: masks of a volume and an organ, by the organ's verdict."""
    slices: pd.DataFrame
    """``what, n, n_bad, share, high``: masks of slices; `high` is the one-sided 95 % limit of the
    share of bad ones, as if slices were independent."""


def ask_gate(published: Annotations, study: Path, pairings: Sequence[Pairing]) -> Quality:
    """Judge the boxes of a study by the default policy, and look what the scores say of it.

    Parameters
    ----------
    published : Annotations
        The training volumes, and those that the paper kept.
    study : Path
        The study file of the annotations.
    pairings : sequence of Pairing
        From `read_pairings`; the first side of ``volumes`` and ``slices_all`` are SAM's masks.
    """
    verdicts = _verdicts(published, study)
    volumes, slices = (_scores(pairings, name) for name in ("volumes", "slices_all"))
    scored = volumes.merge(verdicts, on=["case", "label"])
    cases = pd.DataFrame(
        [_case(case, published, verdicts, volumes=volumes) for case in published.boxes]
    )
    kept = set(cases.loc[cases["kept"], "case"])
    return Quality(
        cases,
        pd.DataFrame([_masks(scored, verdict) for verdict in VERDICTS]),
        pd.DataFrame(
            [
                _slices("all that were scored", slices),
                _slices("in the volumes that the gate keeps", slices[slices["case"].isin(kept)]),
                _slices("in the others", slices[~slices["case"].isin(kept)]),
            ]
        ),
    )


def in_words(quality: Quality) -> list[str]:
    """The same in a few sentences."""
    return [_choice(quality.cases), _by_verdict(quality), _by_slice(quality.slices)]


def _chosen(cases: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Volumes that the paper kept, and those that the gate keeps."""
    return list(cases.loc[cases["paper"], "case"]), list(cases.loc[cases["kept"], "case"])


def _choice(cases: pd.DataFrame) -> str:
    paper, gate = _chosen(cases)
    besides = ", ".join(case for case in paper if case not in gate) or "none"
    more = ", ".join(case for case in gate if case not in paper) or "none"
    return (
        f"The default gate keeps {len(gate)} of the {len(cases)} volumes, the paper kept "
        f"{len(paper)}: the gate leaves out {besides} besides, and keeps {more} that the paper "
        "left out. It needs the boxes alone, before any mask is drawn; the set `ignore` would keep "
        "the other organs of these volumes."
    )


def _by_verdict(quality: Quality) -> str:
    paper, gate = _chosen(quality.cases)
    dice = quality.cases.set_index("case")["dice"]
    parts = [f"{r.verdict} {r.dice:.3f} (n = {r.n})" for r in quality.masks.itertuples()]
    return (
        f"Mean volume Dice of SAM's masks is {dice[paper].mean():.3f} in the paper's volumes and "
        f"{dice[gate].mean():.3f} in the gate's; by the verdict on an organ of a volume: "
        f"{', '.join(parts)}. What a network trained on them would reach cannot be known without "
        "the images."
    )


def _by_slice(slices: pd.DataFrame) -> str:
    everything, kept, left = slices.to_dict("records")
    return (
        f"Of {everything['n']:,} masks of slices {everything['n_bad']} are bad (Dice below "
        f"{BAD:g}), {everything['share']:.1%}; {left['n_bad']} of them lie in volumes that the "
        f"gate leaves out. In those that it keeps {kept['share']:.1%} are bad."
    )


def _verdicts(published: Annotations, study: Path) -> pd.DataFrame:
    """Verdict on each organ of each training volume: ``case, label, verdict, case_verdict``."""
    with tempfile.TemporaryDirectory() as folder:
        run = open_run(study, out=Path(folder), say=lambda _: None)
        PIPELINE.run("gate", run)
        manifest = Manifest.read(run.store.path("manifest.json"))
        run.store.release()
    return pd.DataFrame(
        [
            (case["case"], label.replace("_", " "), one["verdict"], case["verdict"])
            for case in manifest.cases
            for label, one in case["labels"].items()
            if case["case"] in published.boxes
        ],
        columns=["case", "label", "verdict", "case_verdict"],
    )


def _scores(pairings: Sequence[Pairing], table: str) -> pd.DataFrame:
    """Dice of SAM's masks: ``case, label, dice``."""
    frames = [
        pd.DataFrame({"case": [_number(v) for v in one.volumes], "label": one.row, "dice": one.a})
        for one in pairings
        if one.table == table and one.row != "mean"
    ]
    return pd.concat(frames, ignore_index=True)


def _number(path: object) -> str:
    """The number of a case in the name of its file."""
    return re.findall(r"\d{4}", str(path))[-1]


def _case(
    case: str, published: Annotations, verdicts: pd.DataFrame, *, volumes: pd.DataFrame
) -> dict[str, object]:
    mine = verdicts[verdicts["case"] == case]
    counts = {verdict: int((mine["verdict"] == verdict).sum()) for verdict in VERDICTS}
    whole = mine["case_verdict"].iloc[0]
    return {
        "case": case,
        "paper": case in published.complete,
        "gate": whole,
        **counts,
        "kept": whole != "reject" and not counts["reject"],
        "dice": volumes.loc[volumes["case"] == case, "dice"].mean(),
    }


def _masks(scored: pd.DataFrame, verdict: str) -> dict[str, object]:
    dice = scored.loc[scored["verdict"] == verdict, "dice"]
    mean = float(dice.mean()) if len(dice) else np.nan
    return {"verdict": verdict, "n": len(dice), "dice": mean, "n_bad": int((dice < BAD).sum())}


def _slices(what: str, table: pd.DataFrame) -> dict[str, object]:
    n, n_bad = len(table), int((table["dice"] < BAD).sum())
    high = float(stats.beta.ppf(0.95, n_bad + 1, n - n_bad)) if n_bad < n else 1.0
    return {"what": what, "n": n, "n_bad": n_bad, "share": n_bad / n if n else np.nan, "high": high}
