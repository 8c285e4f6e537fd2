"""The stage `fuse`: one box for each object, and where one more rater is worth most."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from crowdqc.config import Config
from crowdqc.decisions.standing import CHANGED, CONFLICT, SETTLED
from crowdqc.formats import read_gold
from crowdqc.formats.patterns import find, has
from crowdqc.judge import USABLE
from crowdqc.schema import Study
from crowdqc.stages.base import Result, Run
from crowdqc.stages.images import known_images
from crowdqc.stages.settled import agreement_of_reviewers, load_settled, settled_findings
from crowdqc.stages.shown import load_shown
from crowdqc.stages.study import (
    calibrates,
    fuse_options,
    load_matched,
    load_study,
    write_findings,
)
from crowdqc.text import count

SHOWN = ["case", "slice", "label", "state", "n_raters", "expected_error", "wrong", "gain"]
"""Columns of what is to be asked that a terminal of 80 columns shows."""
_OPEN = {CONFLICT: "in conflict", CHANGED: "to be decided again, as their boxes have changed"}
"""State of a decision that is not obeyed -> what to call it."""
MOST = 20
"""Rows that are shown on a terminal."""


def fuse(run: Run) -> Result:
    """Fuse the raters' boxes into one box per object."""
    from crowdqc.fusion import fuse as fuse_boxes

    config = run.config
    gold = read_gold(config, known_images(config))[0] if calibrates(config) else None
    settled, findings = load_settled(run), write_findings(run, "fuse", settled_findings(run))
    more = {"settled": settled, "shown": load_shown(config), **fuse_options(config)}
    consensus = fuse_boxes(load_matched(run), gold=gold, **more)
    run.store.write("consensus", consensus)
    run.store.write("settled", settled)
    files = ["consensus.csv", *_write_consensus(run, load_study(run), consensus)]
    files += ["settled.csv", "fuse.findings.jsonl"]
    counts = consensus.groupby(["label", "state"]).agg(n=("score", "size"), score=("score", "mean"))
    usable = int(consensus["state"].isin(USABLE).sum())
    summary = (
        f"{usable:,} of {count(len(consensus), 'object')} with a box that may be used "
        f"(method {config.fuse.method}).{_of_reviewers(settled)}"
        f"{agreement_of_reviewers(run)}"
    )
    return Result(
        table=consensus,
        shown=counts.reset_index(),
        summary=summary,
        files=files,
        findings=findings,
    )


def _of_reviewers(settled: pd.DataFrame) -> str:
    """What reviewers settled, as a sentence; "" where there is nothing."""
    states = settled["state"].value_counts()
    parts = [f"{states.get(SETTLED, 0):,} settled by reviewers"]
    parts += [f"{states[state]:,} {text}" for state, text in _OPEN.items() if state in states]
    return f" {', '.join(parts).capitalize()}." if len(settled) else ""


def next_raters(run: Run) -> Result:
    """What to do with each object after a batch: ask one more rater, or an expert, or stop."""
    from crowdqc.fusion import Stopping, stopping

    rule = Stopping()
    every = stopping(load_matched(run), rule, shown=load_shown(run.config))
    table = every[every["state"] != "stop"].reset_index(drop=True)
    run.store.write("done", every[every["state"] != "ask"])
    if not every["gain"].notna().any():
        text = "What one more rater is worth is not known: no object was drawn by two raters."
        return Result(table=table, shown=table[SHOWN].head(MOST), summary=text, files=["done.csv"])
    asked, expert = (every[every["state"] == state] for state in ("ask", "expert"))
    n, left = len(every), every.loc[every["state"] != "ask", "wrong_left"]
    places = len(every[every["read"]].drop_duplicates(["case", "slice", "label"]))
    given_up = left.mean() if len(left) else 0.0
    summary = (
        f"A further box lowers the chance of a wrong box by {rule.gain:g} or more for "
        f"{len(asked):,} of {count(n, 'object')}: ask. {count(places, 'place')} should be "
        f"read again, by raters who see the others (done.csv) as done. {len(expert):,} would stay "
        f"wrong with more than {rule.wrong:g}: decide on them by crowdqc review. "
        f"{n - len(table):,} need no more; not asking gives up {given_up:.3f} of that chance."
    )
    return Result(table=table, shown=table[SHOWN].head(MOST), summary=summary, files=["done.csv"])


def _with_slices(images: pd.DataFrame, places: pd.DataFrame) -> pd.DataFrame:
    """`images` with a row for every place: one that nobody opened is like its case."""
    new = places.merge(images[["case", "slice"]], how="left", indicator=True)
    new = new.loc[new["_merge"] == "left_only", ["case", "slice"]]
    alike = images.drop_duplicates("case").drop(columns=["slice", "path"])
    return pd.concat([images, new.merge(alike, on="case")], ignore_index=True)


def _write_consensus(run: Run, study: Study, consensus: pd.DataFrame) -> list[str]:
    """YOLO files of the usable boxes, in the layout of the input; other formats have none."""
    from crowdqc.formats.slices import write_slices

    annotations = run.config.annotations
    if annotations.format != "yolo":
        return []
    usable = consensus[consensus["state"].isin(USABLE)]
    places = pd.concat([study.readings, usable])[["case", "slice"]].drop_duplicates()
    fused = Study(
        name=study.name,
        labels=study.labels,
        images=_with_slices(study.images, places),
        readings=places.assign(rater="consensus", state=""),
        boxes=usable.assign(rater="consensus", box=np.arange(len(usable))),
    )
    name = _consensus_pattern(annotations.path)
    name = name.replace("{slice}", f"{{slice:0{_slice_digits(run.config)}d}}")
    ids = {label.name: key for key, label in run.config.labels.items()}
    with run.store.new_folder("consensus") as folder:
        write_slices(fused, folder, ids=ids, pattern=name)
    return ["consensus"]


def _consensus_pattern(path: str) -> str:
    """The pattern of the input from the part on that names case or slice, without raters' folders.

    Examples
    --------
    >>> _consensus_pattern("boxes/{rater}/{case}/slice{slice}.txt")
    '{case}/slice{slice}.txt'
    """
    if not has(path, "slice") or "*" in path or "{case1}" in path:
        return "{case}-{slice}.txt"
    parts = Path(path).parts
    first = next(k for k, part in enumerate(parts) if has(part, "case") or has(part, "slice"))
    return "/".join(part for part in parts[first:] if part != "{rater}")


def _slice_digits(config: Config) -> int:
    """Digits to which slices are padded in the names of the files; 1 where they are not."""
    found = find(config.resolve(config.annotations.path)).files
    digits = {len(one.fields.get("slice", "0")) for one in found}
    return digits.pop() if len(digits) == 1 else 1
