"""The stage that decides: gate."""

from __future__ import annotations

import dataclasses
import re

import pandas as pd

from crowdqc.config import Config
from crowdqc.gate import (
    Manifest,
    case_measures,
    decide,
    label_measures,
    load_policy,
    make_manifest,
    rater_measures,
)
from crowdqc.schema import Study
from crowdqc.stages.base import Result, Run
from crowdqc.stages.boxes import USABLE, fuse_options, load_study, match_study
from crowdqc.store import sha256

CREATED_FROM = [
    "images.csv",
    "readings.csv",
    "boxes.csv",
    "findings.jsonl",
    "raters.csv",
    "completeness.csv",
    "consensus.csv",
]
N_REASONS = 3
"""Reasons of a verdict that a terminal shows; the manifest and the report have all."""
_RULE = re.compile(r"^(.*? (?:[<>]=?|[=!]=) \S+): .*$")
"""A rule that fired, ``measure value < limit``, and behind it why there is such a rule."""


def gate(run: Run) -> Result:
    """Judge raters, cases and labels by the policy, and list the boxes that may be used."""
    config = run.config
    named = config.gate.policy
    policy = load_policy(None if named is None else config.resolve(named))
    tables = {name: run.store.read(name) for name in ("raters", "completeness", "consensus")}
    raters = rater_measures(tables["raters"], tables["completeness"])
    rejected = [
        rater
        for rater, judged in decide(policy, _measures(tables, raters)).raters.items()
        if judged.verdict == "reject"
    ]
    if rejected:
        tables["consensus"] = _without(rejected, load_study(run), config)
    decision = decide(policy, _measures(tables, raters), run.store.read_findings("check"))
    consensus = tables["consensus"]
    manifest = make_manifest(
        decision,
        consensus[consensus["state"].isin(USABLE)],
        study=config.study.name,
        policy=policy,
        created_from={name: sha256(run.store.path(name)) for name in CREATED_FROM},
    )
    run.store.write_text("manifest.json", manifest.to_json())
    verdicts = verdict_table(manifest)
    counts = manifest.counts
    return Result(
        table=verdicts,
        shown=_brief(manifest),
        summary=(
            f"Verdict: {manifest.verdict.value}. {counts['cases_accept']} cases accepted, "
            f"{counts['cases_review']} to review, {counts['cases_reject']} rejected; "
            f"{counts['prompts']} boxes may be used."
        ),
        files=["manifest.json"],
        verdict=manifest.verdict,
    )


def _measures(tables: dict[str, pd.DataFrame], raters: pd.DataFrame) -> dict[str, pd.DataFrame]:
    labels = label_measures(tables["consensus"], tables["completeness"])
    return {"rater": raters, "label": labels, "case": case_measures(labels)}


def _without(rejected: list[str], study: Study, config: Config) -> pd.DataFrame:
    """Boxes fused again, without the raters who were rejected."""
    from crowdqc.fusion import fuse

    kept = {
        table: frame[~_person(frame, study).isin(rejected)]
        for table, frame in (("readings", study.readings), ("boxes", study.boxes))
    }
    rest = dataclasses.replace(study, **kept)
    return fuse(match_study(rest, config), **fuse_options(config))


def _person(frame: pd.DataFrame, study: Study) -> pd.Series:
    """Name of the person as `raters.csv` has it."""
    return frame["case"] + "/" + frame["rater"] if study.rater_scope == "case" else frame["rater"]


def _brief(manifest: Manifest) -> pd.DataFrame:
    """Raters and cases that were not accepted, with the first reasons, not explained."""
    judged = [("rater", one["rater"], one) for one in manifest.raters]
    judged += [("case", one["case"], one) for one in manifest.cases]
    rows = [
        (kind, name, one["verdict"], _first(one["reasons"]))
        for kind, name, one in judged
        if one["verdict"] != "accept"
    ]
    return pd.DataFrame(rows, columns=["kind", "name", "verdict", "reasons"])


def _first(reasons: list[str]) -> str:
    """The first reasons, of each what happened and not what to do, and how many follow."""
    brief = [_RULE.sub(r"\1", reason).partition(". ")[0] for reason in reasons]
    more = [f"and {len(brief) - N_REASONS} more"] if len(brief) > N_REASONS else []
    return "; ".join([*brief[:N_REASONS], *more])


def verdict_table(manifest: Manifest) -> pd.DataFrame:
    """One row for each rater, case, and label of a case."""
    rows = [("rater", one["rater"], "", one) for one in manifest.raters]
    for case in manifest.cases:
        rows.append(("case", case["case"], "", case))
        rows += [("label", case["case"], label, one) for label, one in case["labels"].items()]
    return pd.DataFrame(
        [
            (kind, name, label, one["verdict"], "; ".join(one["reasons"]))
            for kind, name, label, one in rows
        ],
        columns=["kind", "name", "label", "verdict", "reasons"],
    )
