"""The verdict: a pure function of measures, findings and a policy.

A verdict is the worst that any rule or finding about its unit asks for, so one finding more never
makes it milder, and what is shown or filtered afterwards cannot change it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.completeness.slices import named, to_ranges
from crowdqc.findings import Finding, Reason, Severity, Verdict, Where
from crowdqc.geometry import paired_iou
from crowdqc.judge.declared import Scope
from crowdqc.judge.policy import NOWHERE, Judged, Policy, ask_all, firing
from crowdqc.judge.raters import decide_raters
from crowdqc.schema import BOX, stands_in
from crowdqc.text import count, plural

PLACES: dict[Scope, Callable[[Any], Where]] = {
    "label": lambda key: Where(case=key[0], label=key[1]),
    "case": lambda name: Where(case=name),
}
"""What a unit of a scope is."""
FINE = {
    "box": ["case", "slice", "label"],
    "slice": ["case", "slice"],
    "mask": ["case", "slice", "label"],
}
"""Scopes of many units, and what names one."""

AUDITED = "bad_share_high"
"""Measure of the study that an audit knows."""

_NOT_ACCEPTED = {Verdict.REJECT: "rejected", Verdict.REVIEW: "to review"}


@dataclass(frozen=True)
class Decision:
    """Verdicts of a whole study.

    Parameters
    ----------
    raters : dict of str to Judged
    labels : dict of (case, label) to Judged
    cases : dict of str to Judged
    fine : dict of str to DataFrame
        For the scopes ``box``, ``slice``, ``mask``: the units that were not accepted, with their
        key, ``verdict`` and ``reasons`` (a list of `Reason`). The index is that of the measures.
    study : Judged
    bad_share_high : float
        Upper bound of the share of bad masks among those accepted, by an audit; nan without one.
    """

    raters: dict[str, Judged]
    labels: dict[tuple[str, str], Judged]
    cases: dict[str, Judged]
    fine: dict[str, pd.DataFrame] = field(default_factory=dict)
    study: Judged = field(default_factory=Judged)
    bad_share_high: float = float("nan")

    @property
    def verdict(self) -> Verdict:
        """Of the whole study."""
        return self.study.verdict

    def usable(self, boxes: pd.DataFrame) -> NDArray[np.bool_]:
        """Whether the boxes of a table may be used, as far as their case, label and slice go.

        Parameters
        ----------
        boxes : DataFrame
            ``case, slice, label``; a box that was judged itself has the index of its measures.

        Returns
        -------
        ndarray of bool, shape (N,)
        """
        good = [
            key
            for key, judged in self.labels.items()
            if Verdict.REJECT not in (judged.verdict, self.cases[key[0]].verdict)
        ]
        usable = pd.MultiIndex.from_frame(boxes[["case", "label"]]).isin(good)
        result: NDArray[np.bool_] = usable & ~self.withheld(boxes)
        return result

    def withheld(self, boxes: pd.DataFrame) -> NDArray[np.bool_]:
        """Whether rules on boxes or slices withhold the boxes of a table, as `usable`."""
        slices, own = self._rejected("slice"), self._rejected("box")
        withheld: NDArray[np.bool_] = boxes.index.isin(own.index)
        if len(slices):
            withheld |= stands_in(slices, boxes, ["case", "slice"])
        return withheld

    def _rejected(self, scope: str) -> pd.DataFrame:
        table = self.fine.get(scope, pd.DataFrame({"verdict": []}))
        return table[table["verdict"] == Verdict.REJECT.value]


def decide(
    policy: Policy,
    measures: Mapping[str, pd.DataFrame],
    findings: Iterable[Finding] = (),
    *,
    audited: Callable[[Decision], float] | None = None,
) -> Decision:
    """Judge raters, boxes, slices, masks, labels of cases, cases, and the study.

    Parameters
    ----------
    policy : Policy
    measures : mapping of str to DataFrame
        For the scopes ``rater``, ``label`` and ``case``: a row for each unit that is judged; for
        ``box`` and ``slice``, where there are rules for them, and ``mask``, once masks are drawn,
        a row for each with its key in columns: all as from `crowdqc.judge.measures`. ``study``:
        one row with numbers of findings, where rules count these.
    findings : iterable of Finding
        One that names a case counts for it, or for its label where it names one. One that
        names a rater, too, asks for a review at most: what is left of the others' boxes is judged
        by the measures. One that names only a rater counts for the rater, one that names
        neither for the study.
    audited : callable, optional
        What was decided of the parts -> ``bad_share_high``, by an audit.

    Returns
    -------
    Decision
        A rejected label rejects its case, or asks for its review, as the policy says; a case of
        which all labels are rejected is rejected. The study is judged by the rules of that scope;
        where there are none about what was rejected, it is rejected with the first case. A rejected
        rater, who can be left out, asks for a review. A label of which every fused box is withheld,
        and a study without any usable box, are rejected.
    """
    findings = list(findings)
    raters = decide_raters(policy.of("rater"), measures["rater"], findings)
    labels, cases = (
        ask_all(policy.of(scope), measures[scope], place) for scope, place in PLACES.items()
    )
    fine = {
        scope: _judge_rows(policy, scope, measures[scope]) for scope in FINE if scope in measures
    }
    decision = Decision(raters, labels, cases, fine)
    for finding in findings:
        _count(finding, decision)
    for scope, table in fine.items():
        _pass_up_fine(table, scope, decision)
    _reject_empty(decision, measures.get("box"))
    for (case, _), one in labels.items():
        _pass_up(one, cases[case], exclude=policy.exclude)
    for case, own in by_case(decision).items():
        if all(one.verdict is Verdict.REJECT for one in own.values()):
            cases[case].add(Severity.REJECT, next(iter(own.values())).reasons[0])
    for scope in sorted({"box", "slice"} - set(fine)):
        if any(rule.scope == scope for rule in policy.rules):
            unknown = f"there are rules for each {scope}, but no measures: they were not asked"
            decision.study.add(Severity.REVIEW, Reason(measure=scope, because=unknown))
    if not measures["label"].get("n_slices", pd.Series([1])).any():
        nothing = "there is no box that may be used"
        decision.study.add(Severity.REJECT, Reason(measure="prompts", value=0.0, because=nothing))
    if audited is not None:
        decision = replace(decision, bad_share_high=audited(decision))
    _judge_study(policy, decision, study_measures(decision, measures))
    return decision


def _judge_rows(policy: Policy, scope: Any, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a fine scope that are not accepted."""
    keys = frame[FINE[scope]].to_dict("records")
    judged: dict[int, Judged] = {}
    for rule, row, value in firing(policy.of(scope), frame):
        judged.setdefault(row, Judged(where=Where(**keys[row]))).ask(rule, value)
    bad = {row: judged[row] for row in sorted(judged) if judged[row].reasons}
    return frame.iloc[list(bad)][FINE[scope]].assign(
        verdict=[one.verdict.value for one in bad.values()],
        reasons=[one.reasons for one in bad.values()],
    )


def _count(finding: Finding, decision: Decision) -> None:
    severity = finding.severity
    if finding.case is not None:
        if finding.case not in decision.cases:
            return
        unit = decision.labels.get((finding.case, str(finding.label)))
        if finding.rater is not None and severity is Severity.REJECT:
            severity = Severity.REVIEW
        (unit or decision.cases[finding.case]).add(severity, finding.reason)
    elif finding.rater is None:
        decision.study.add(severity, finding.reason)


def _pass_up_fine(table: pd.DataFrame, scope: str, decision: Decision) -> None:
    """Boxes, slices and masks that are not accepted ask for a review of what they are part of."""
    key = [name for name in ("case", "label") if name in table]
    for unit, verdicts in table.groupby(key, sort=False)["verdict"]:
        owner = decision.labels.get(unit) if len(unit) == 2 else decision.cases.get(unit[0])
        if owner is None:
            continue
        where = Where(**dict(zip(key, unit, strict=True)))
        for verdict, what in _NOT_ACCEPTED.items():
            n = int((verdicts == verdict.value).sum())
            if n:
                text = f"{count(n, scope)} {what}"
                owner.add(Severity.REVIEW, _count_of(scope, verdict, n=n, text=text, where=where))


def _reject_empty(decision: Decision, boxes: pd.DataFrame | None) -> None:
    """Reject labels of which every fused box is withheld: nothing of them may be used."""
    if boxes is None:
        return
    left = pd.Series(~decision.withheld(boxes), boxes.index)
    for unit, kept in left.groupby([boxes["case"], boxes["label"]], sort=False):
        if unit in decision.labels and not kept.any():
            text = f"no box is left that may be used: {count(len(kept), 'box')} withheld"
            where = Where(case=unit[0], label=unit[1])
            reason = Reason(measure="boxes_usable", value=0.0, because=text, where=where)
            decision.labels[unit].add(Severity.REJECT, reason)


def _count_of(kind: str, verdict: Verdict, *, n: int, text: str, where: Where = NOWHERE) -> Reason:
    """A reason that counts what was decided of the parts of a unit."""
    measure = f"{plural(kind)}_{verdict.value}"
    return Reason(measure=measure, value=float(n), because=text, where=where)


def _pass_up(label: Judged, case: Judged, *, exclude: str) -> None:
    """What a label's verdict means for its case."""
    if label.verdict is Verdict.REJECT and exclude == "case":
        case.add(Severity.REJECT, label.reasons[0])
    elif label.verdict is not Verdict.ACCEPT:
        case.add(Severity.REVIEW, label.reasons[0])


def withheld_findings(
    decision: Decision, prompts: pd.DataFrame, boxes: pd.DataFrame
) -> list[Finding]:
    """A finding for each rater of whom boxes are withheld that nothing else stands for.

    A fused box is all that is known of its object on its slice: where a rule on boxes or slices
    withholds it, whoever drew there has to look again.

    Parameters
    ----------
    decision : Decision
    prompts : DataFrame
        The fused boxes that were judged, with the index of their measures.
    boxes : DataFrame
        Table ``boxes``.

    Returns
    -------
    list of Finding
        ``box-withheld``, by case, label and rater whose boxes overlap one that is withheld.
    """
    lost = prompts[decision.withheld(prompts)]
    pairs = lost.merge(boxes, on=FINE["box"], suffixes=("_fused", ""))
    fused = pairs[[f"{edge}_fused" for edge in BOX]].to_numpy(np.float64)
    pairs = pairs[paired_iou(fused, pairs[BOX].to_numpy(np.float64)) > 0]
    return [
        Finding(
            check="box-withheld",
            message=f"the fused box on {named(slices)} is withheld, and no other shows the object. "
            "Look at what you drew there.",
            case=case,
            label=label,
            rater=rater,
            slices=slices,
        )
        for (case, label, rater), group in pairs.groupby(["case", "label", "rater"], sort=False)
        if (slices := to_ranges(group["slice"]))
    ]


def study_measures(
    decision: Decision, measures: Mapping[str, pd.DataFrame] | None = None
) -> dict[str, float]:
    """Measures of the whole study: what of it was rejected, and numbers of findings.

    Parameters
    ----------
    decision : Decision
        What was decided about raters, labels and cases.
    measures : mapping of str to DataFrame, optional
        As `decide` got them; the row of ``study``, if there is one, is part of the result.

    Returns
    -------
    dict of str to float
        ``n_cases_kept``; ``cases_rejected_share``, ``labels_rejected_share``,
        ``raters_rejected_share``; nan where there is none at all; ``bad_share_high``, by an
        audit.
    """
    counted = (measures or {}).get("study", pd.DataFrame())
    shares = {
        f"{name}_rejected_share": _share_rejected(units.values())
        for name, units in (
            ("cases", decision.cases),
            ("labels", decision.labels),
            ("raters", decision.raters),
        )
    }
    kept = sum(one.verdict is not Verdict.REJECT for one in decision.cases.values())
    return {
        "n_cases_kept": float(kept),
        **shares,
        AUDITED: decision.bad_share_high,
        **{n: float(counted[n].iloc[0]) for n in counted},
    }


def _share_rejected(units: Iterable[Judged]) -> float:
    rejected = [judged.verdict is Verdict.REJECT for judged in units]
    return float(np.mean(rejected)) if rejected else float("nan")


def _judge_study(policy: Policy, decision: Decision, measures: Mapping[str, float]) -> None:
    rules = policy.of("study")
    for rule, _, value in firing(rules, pd.DataFrame([measures])):
        decision.study.ask(rule, value)
    lenient = any(rule.measure != AUDITED for rule in rules)
    for kind, units in (("case", decision.cases), ("rater", decision.raters)):
        strict = kind == "case" and not lenient
        for verdict, what in _NOT_ACCEPTED.items():
            n = sum(judged.verdict is verdict for judged in units.values())
            if n:
                worst = Severity.REJECT if strict and verdict is Verdict.REJECT else Severity.REVIEW
                text = f"{n} of {count(len(units), kind)} {what}"
                decision.study.add(worst, _count_of(kind, verdict, n=n, text=text))


def by_case(decision: Decision) -> dict[str, dict[str, Judged]]:
    """Labels of each case, in the order of the decision."""
    labels: dict[str, dict[str, Judged]] = defaultdict(dict)
    for (case, label), judged in decision.labels.items():
        labels[case][label] = judged
    return labels
