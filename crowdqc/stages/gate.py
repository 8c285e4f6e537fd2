"""The stage that decides: gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from crowdqc.arrays import Floats
from crowdqc.audit import joint_confidence
from crowdqc.completeness import todo
from crowdqc.decisions.rows import MEANING
from crowdqc.files import sha256
from crowdqc.findings import Finding, Verdict
from crowdqc.fusion import REVIEW
from crowdqc.judge import (
    USABLE,
    Decision,
    Policy,
    box_measures,
    case_measures,
    changes,
    decide,
    explain,
    isolated,
    judged_findings,
    label_measures,
    make_manifest,
    rater_measures,
    rater_runs,
    slice_measures,
    to_github,
    to_junit,
    with_counts,
    withheld_findings,
)
from crowdqc.judge.explain import COLUMNS as EXPLAINED
from crowdqc.judge.manifest import Manifest
from crowdqc.judge.text import sentences, shortened
from crowdqc.schema import Study
from crowdqc.stages.audit_units import audited_boxes, audited_masks, found_bad, with_grade
from crowdqc.stages.audited import certificate, read_plans
from crowdqc.stages.base import Result, Run
from crowdqc.stages.mask_sets import RISK
from crowdqc.stages.study import load_study, person, policy_of
from crowdqc.text import count

CREATED_FROM = [
    "images.csv",
    "readings.csv",
    "boxes.csv",
    "findings.jsonl",
    "raters.csv",
    "agree.findings.jsonl",
    "completeness.csv",
    "complete.findings.jsonl",
    "consensus.csv",
    "settled.csv",
    "fuse.findings.jsonl",
]
MANIFEST = "manifest.json"
STALE = (
    "masks were drawn from other boxes than those of now and are judged as they are; draw them "
    "again: crowdqc masks"
)
"""That a verdict must not become milder because something was not made again."""
EDITED = f"{RISK} is not what crowdqc wrote and is not used; make it again: crowdqc risk"


@dataclass(frozen=True)
class Measured:
    """What is to be judged."""

    raters: pd.DataFrame
    completeness: pd.DataFrame
    consensus: pd.DataFrame
    findings: dict[str, list[Finding]]
    """Stage -> its findings: of check, agree, fuse, complete, and about masks, if there are any."""
    rater_scope: str = "study"
    """Whether a name of a rater means one person in the study, or only within a case."""
    masks: pd.DataFrame | None = None
    """Risk and measures of the masks, where there are masks to judge."""
    study: Study | None = None
    """What was read; None: it is not known which boxes are isolated."""
    graded_bad: Floats | None = None
    """1 for each row of `consensus` that an expert graded as bad, else 0; None: none was."""


@dataclass(frozen=True)
class Judgement:
    """What the gate looked at, and what it decided."""

    policy: Policy
    measures: dict[str, pd.DataFrame]
    findings: list[Finding]
    prompts: pd.DataFrame
    decision: Decision
    certificates: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """Unit -> what its audit says."""


def gate(run: Run, *, masks: bool) -> Result:
    """Judge by the policy, and list the boxes that may be used.

    Parameters
    ----------
    run : Run
    masks : bool
        Whether the masks that were drawn, if any, are those of the boxes as they are now.
    """
    found = judge(run, masks=masks)
    read = [*CREATED_FROM, RISK] if "mask" in found.measures else CREATED_FROM
    inputs = [name for name in read if run.store.path(name).is_file()]
    manifest = make_manifest(
        found.decision,
        found.prompts,
        study=run.config.study.name,
        policy=found.policy,
        created_from={name: sha256(run.store.path(name)) for name in inputs},
        certificates=found.certificates,
        licences=_licences(run),
    )
    with run.store.replacing(MANIFEST) as temporary:
        manifest.write(temporary)
    run.store.write("todo", _work_list(run, found))
    verdicts = _verdict_table(manifest)
    counts = manifest.counts
    return Result(
        table=verdicts,
        shown=_brief(manifest),
        summary=(
            f"Verdict: {manifest.verdict.value}. {count(counts['cases_accept'], 'case')} accepted, "
            f"{counts['cases_review']} to review, {counts['cases_reject']} rejected; "
            f"{count(counts['prompts'], 'usable box')}{_of_masks(found)}{_of_reviewers(found)}."
        ),
        files=[MANIFEST, "todo.csv"],
        verdict=verdict_for_exit(manifest),
    )


def _licences(run: Run) -> set[str]:
    """Of the weights behind the masks that there are, if any have one."""
    names = run.store.read("masks")["licence"].dropna() if run.store.has("masks") else []
    return set(names) - {""}


def _work_list(run: Run, found: Judgement) -> pd.DataFrame:
    """The work list of `complete`, and who has to look again at boxes that are withheld."""
    withheld = withheld_findings(found.decision, found.prompts, load_study(run).boxes)
    complete = run.store.read_findings("complete")
    return todo(run.store.read("completeness"), found.policy.weigh([*complete, *withheld]))


def _of_reviewers(found: Judgement) -> str:
    n = int((found.prompts["method"] == REVIEW).sum())
    return f"; {n:,} settled by reviewers" if n else ""


def _of_masks(found: Judgement) -> str:
    if "mask" not in found.measures:
        return ""
    verdicts = found.decision.fine["mask"]["verdict"]
    rejected = int((verdicts == Verdict.REJECT.value).sum())
    return f"; {rejected:,} of {count(len(found.measures['mask']), 'mask')} rejected"


def verdict_for_exit(manifest: Manifest) -> Verdict:
    """``reject`` where the policy of a manifest does not let its verdict pass, else ``accept``."""
    policy = Policy.model_construct(**manifest.policy)  # its measures may be gone by now
    return Verdict.REJECT if policy.says_no(manifest.verdict) else Verdict.ACCEPT


def judge(run: Run, *, masks: bool) -> Judgement:
    """Judge what the stages before wrote.

    Parameters
    ----------
    run : Run
        An opened study whose stages up to ``complete`` are done.
    masks : bool
        Whether the table ``risk`` is up to date; it is doubted if not.
    """
    tables = {name: run.store.read(name) for name in ("raters", "completeness", "consensus")}
    policy, path = policy_of(run.config), run.store.path(RISK)
    found = Measured(
        **tables,
        findings={
            stage: run.store.read_findings(stage)
            for stage in ("check", "agree", "fuse", "complete")
        },
        rater_scope=run.config.annotations.rater_scope,
        study=load_study(run),
        graded_bad=found_bad(run, tables["consensus"]),
    )
    edited = path.is_file() and run.store.edited("risk")
    if path.is_file() and policy.of("mask"):
        found = found if edited else replace(found, masks=with_grade(run, run.store.read("risk")))
        doubt = EDITED if edited else "" if masks else STALE
        found.findings["masks"] = [Finding(check="masks-stale", message=doubt)] if doubt else []
    certified: dict[str, dict[str, Any]] = {}

    def audited(decision: Decision) -> float:
        certified.update({} if edited else _certificates(run, decision))
        shares = [record["bad_share_high"] for record in certified.values()]
        return float("nan") if None in shares or not shares else float(max(shares))

    return replace(judge_measured(found, policy, audited=audited), certificates=certified)


def _certificates(run: Run, decision: Decision) -> dict[str, dict[str, Any]]:
    """Unit -> what its audit says of what is accepted by a decision."""
    plans = read_plans(run)
    audited = {}
    if "mask" in plans and run.store.path(RISK).is_file():
        audited["mask"] = audited_masks(run, run.store.read("risk"), decision)
    if "box" in plans:
        audited["box"] = audited_boxes(run, decision)
    both = joint_confidence(plans.values()) if len(audited) > 1 else None
    found = {unit: certificate(run, one) for unit, one in audited.items()}
    return {unit: {**one, "joint_confidence": both} for unit, one in found.items() if one}


def judge_measured(
    found: Measured, policy: Policy, *, audited: Callable[[Decision], float] | None = None
) -> Judgement:
    """Judge a study by a policy.

    Parameters
    ----------
    found : Measured
        What was found of it.
    policy : Policy
        The rules.
    audited : callable, optional
        As of `crowdqc.judge.decide`.

    Returns
    -------
    Judgement
    """
    people = person(found.completeness, found.rater_scope)
    runs = rater_runs(found.completeness.assign(rater=people))
    raters = rater_measures(found.raters).join(runs)
    consensus = found.consensus
    noticed = {stage: policy.weigh(findings) for stage, findings in found.findings.items()}
    faults = [one for one in noticed["agree"] if one.case is None]  # of raters, or of the study
    prompts = consensus[consensus["state"].isin(USABLE)]
    measures = _measures(consensus, found.completeness, raters)
    measures |= _fine(policy, found)
    if found.masks is not None:
        measures["mask"] = found.masks
    measures = with_counts(measures, _about(noticed, found.rater_scope), policy)
    complete = judged_findings(noticed["complete"], found.completeness)
    findings = [*noticed["check"], *noticed.get("fuse", []), *complete, *faults]
    findings += noticed.get("masks", [])
    decision = decide(policy, measures, findings, audited=audited)
    return Judgement(policy, measures, findings, prompts, decision)


def _about(noticed: Mapping[str, list[Finding]], scope: str) -> list[Finding]:
    """Findings of all stages, each about the rater as `raters.csv` names one."""
    return [
        replace(one, rater=f"{one.case}/{one.rater}")
        if scope == "case" and one.rater and one.case
        else one
        for findings in noticed.values()
        for one in findings
    ]


def explain_unit(run: Run, unit: str, *, masks: bool) -> pd.DataFrame:
    """Everything that was asked of a unit: see `crowdqc.judge.explain`.

    Parameters
    ----------
    run : Run
        As of `judge`.
    unit : str
        ``CASE``, ``CASE/LABEL``, ``rater:NAME`` or ``study``.
    masks : bool
        As of `judge`.
    """
    found = judge(run, masks=masks)
    asked = explain(
        unit,
        found.policy,
        measures=found.measures,
        findings=found.findings,
        decision=found.decision,
    )
    return pd.concat([asked, *_decided(unit, run)], ignore_index=True)


def _decided(unit: str, run: Run) -> list[pd.DataFrame]:
    """What reviewers decided in a case, or of a label of it, as rows of `crowdqc.judge.explain`."""
    case, _, label = unit.partition("/")
    rows = run.store.read("settled")
    rows = rows[(rows["case"] == case) & ((rows["label"] == label) | (not label))]
    lines = [
        (
            f"{row.case}/{row.label}",
            f"slice {row.slice}",
            None,
            None,
            row.state,
            _decision_text(row),
        )
        for row in rows.itertuples()
    ]
    return [pd.DataFrame(lines, columns=EXPLAINED)] if lines else []


def _decision_text(row: Any) -> str:
    """What reviewers decided, as a sentence: a row of the table ``settled``."""
    day = f" on {datetime.fromtimestamp(row.time, UTC):%Y-%m-%d}" if row.time > 0 else ""
    return f"{MEANING[row.decision]}: {row.reviewers}{day}"


def _measures(
    consensus: pd.DataFrame, completeness: pd.DataFrame, raters: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    labels = label_measures(consensus, completeness)
    return {"rater": raters, "label": labels, "case": case_measures(labels)}


def _fine(policy: Policy, found: Measured) -> dict[str, pd.DataFrame]:
    """Measures of boxes and slices, for which a policy need not have rules."""
    measures, consensus = {}, found.consensus
    if policy.of("box"):
        alone = None if found.study is None else isolated(consensus, found.study)
        bad = 0.0 if found.graded_bad is None else found.graded_bad
        graded = consensus.assign(graded_bad=bad)
        measures["box"] = box_measures(graded[graded["state"].isin(USABLE)], alone)
    if policy.of("slice"):
        measures["slice"] = slice_measures(consensus)
    return measures


def _brief(manifest: Manifest) -> pd.DataFrame:
    """Study, raters and cases that were not accepted, with the first of their reasons."""
    rows = [
        (one.kind, one.name, one.verdict, shortened(one.reasons, one.unit))
        for one in manifest.entries()
        if one.kind != "label" and one.verdict != Verdict.ACCEPT.value
    ]
    return pd.DataFrame(rows, columns=["kind", "name", "verdict", "reasons"])


def _verdict_table(manifest: Manifest) -> pd.DataFrame:
    """One row for the study, and for each rater, case, and label of a case."""
    rows = [
        (
            *(one.kind, one.unit.case or one.name, one.unit.label or "", one.verdict),
            "; ".join(sentences(one.reasons, one.unit)),
        )
        for one in manifest.entries()
    ]
    return pd.DataFrame(rows, columns=["kind", "name", "label", "verdict", "reasons"])


def changed(run: Run, before: Manifest, result: Result) -> Result:
    """The result of a gating, showing what it decided differently from an earlier one.

    Parameters
    ----------
    run : Run
        An opened study whose gate is done.
    before : Manifest
        The earlier one.
    result : Result
        Of the gate.
    """
    return result.showing(changes(before, _manifest(run)))


def as_text(run: Run, style: str) -> str:
    """The manifest for build servers.

    Parameters
    ----------
    run : Run
        An opened study whose gate is done.
    style : str
        ``"junit"`` or ``"github"``.
    """
    return {"junit": to_junit, "github": to_github}[style](_manifest(run))


def _manifest(run: Run) -> Manifest:
    return Manifest.read(run.store.path(MANIFEST))
