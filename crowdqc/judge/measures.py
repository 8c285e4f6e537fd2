"""The numbers that a policy may ask about: one table for each scope, from the stages' tables.

Scopes of few units (rater, label, case) are indexed by their unit; of the fine ones (box, slice,
mask) each row is a unit, with its key in columns. ``docs/policy.md`` lists all measures.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from crowdqc.checks import registered
from crowdqc.completeness.checks import WRONG_LABEL
from crowdqc.completeness.slices import from_ranges
from crowdqc.findings import Finding, Severity, from_cell
from crowdqc.judge.declared import COUNTED, FINDINGS
from crowdqc.judge.policy import Policy
from crowdqc.schema import INTERPOLATED, ORGAN, stands_in

USABLE = ["agreed", "single"]
"""States of a fused box that may be used."""


def rater_measures(raters: pd.DataFrame) -> pd.DataFrame:
    """Measures of each rater, indexed by rater: every number of the table ``raters``."""
    return raters.set_index("rater").select_dtypes("number")


def rater_runs(completeness: pd.DataFrame) -> pd.DataFrame:
    """What completeness says of each rater, indexed by rater: columns of the table ``raters``.

    ``n_expected``: the slices that were expected of the rater, over all runs; ``coverage``: the
    share of these that has a box, 1 where nothing was expected, and ``coverage_high`` its upper
    bound (95 %, one side; Wilson). ``single_rater_share``: the share
    of the rater's runs that no other rater drew, too, so that no agreement is known; nan for a
    rater who drew nothing.
    """
    drawn = completeness[completeness["n_slices"] > 0]
    several = drawn.groupby(ORGAN)["rater"].transform("size") > 1
    wanted = completeness["slices_expected"]
    expected = wanted.groupby(completeness["rater"]).sum()
    found = (completeness["coverage"].fillna(0) * wanted).groupby(completeness["rater"]).sum()
    coverage = (found / expected.where(expected > 0)).fillna(1.0)
    return pd.DataFrame(
        {
            "coverage": coverage,
            "coverage_high": _upper(coverage, expected),
            "n_expected": expected,
            "single_rater_share": (~several).groupby(drawn["rater"]).mean(),
        }
    )


def _upper(share: pd.Series, n: pd.Series) -> pd.Series:
    """Upper bound of a share of n, by Wilson's interval; 1 where n is 0."""
    z = 1.645
    middle = share + z**2 / (2 * n.clip(lower=1))
    reach = z * np.sqrt(share * (1 - share) / n.clip(lower=1) + z**2 / (4 * n.clip(lower=1) ** 2))
    return ((middle + reach) / (1 + z**2 / n.clip(lower=1))).where(n > 0, 1.0).clip(upper=1.0)


def label_measures(consensus: pd.DataFrame, completeness: pd.DataFrame) -> pd.DataFrame:
    """Measures of each label of each case that was asked for, indexed by case and label.

    ``n_slices`` with a usable box; ``n_gaps``, slices between the first and the last of them
    without one, on which somebody drew the label, or has a gap by the table ``completeness`` (two
    nodules have none between them); ``gap_share`` of that range (0 without a box); ``absent``, 1
    where there is no usable box though the label should be there or nobody read the case;
    ``agreed_share`` of the drawn objects that is usable (1 where nothing was drawn);
    ``coverage`` of the expected slices by the rater who drew most of them (0 where nothing was
    drawn; of a rater of whom none were expected, of those that were expected of another);
    ``truncated_share`` and ``swapped_share`` of the runs that are truncated, or seem to be of
    another label; measures that checks of runs add, as means over the runs;
    ``length_ratio`` to the usual length (nan where too few cases say what is usual).

    Parameters
    ----------
    consensus, completeness : DataFrame
        The tables of these names.

    Returns
    -------
    DataFrame
        A row for each case and label.
    """
    index = pd.MultiIndex.from_frame(completeness[ORGAN].drop_duplicates())
    usable = consensus[consensus["state"].isin(USABLE)]
    slices = usable.drop_duplicates([*ORGAN, "slice"]).groupby(ORGAN)["slice"]
    n_slices = slices.size().reindex(index, fill_value=0)
    extent = (slices.max() - slices.min() + 1).reindex(index, fill_value=0)
    drawn = consensus.groupby(ORGAN).size().reindex(index, fill_value=0)
    n_usable = usable.groupby(ORGAN).size().reindex(index, fill_value=0)
    organ = [completeness[k] for k in ORGAN]
    lacking = (completeness["state"] == "absent").groupby(organ).mean() >= 0.5
    whole = (completeness["state"] == "complete").groupby(organ).all()
    n_gaps = _gaps(usable, consensus, completeness).reindex(index, fill_value=0)
    measures = pd.DataFrame(
        {
            "n_slices": n_slices,
            "n_gaps": n_gaps,
            "gap_share": n_gaps / extent.clip(lower=1),
            "absent": ((n_slices == 0) & ~(lacking | (whole & (drawn == 0))).reindex(index)).astype(
                float
            ),
            "agreed_share": (n_usable / drawn.where(drawn > 0)).fillna(1.0),
        }
    )
    return measures.join(_run_measures(completeness).reindex(index))


def _gaps(usable: pd.DataFrame, consensus: pd.DataFrame, completeness: pd.DataFrame) -> pd.Series:
    """Slices of each label of each case that lack a usable box, by case and label."""
    key = [*ORGAN, "slice"]
    listed = completeness.loc[completeness["gap_slices"] != "", [*ORGAN, "gap_slices"]]
    listed = listed.assign(slice=listed["gap_slices"].map(from_ranges)).explode("slice")
    seen = pd.concat([listed[key].astype({"slice": np.int64}), consensus[key]]).drop_duplicates()
    seen = seen[~stands_in(usable, seen, key)]
    ends = usable.groupby(ORGAN)["slice"].agg(["min", "max"]).reset_index()
    inside = seen.merge(ends, on=ORGAN)
    inside = inside[inside["slice"].between(inside["min"], inside["max"])]
    return inside.groupby(ORGAN).size()


def _run_measures(completeness: pd.DataFrame) -> pd.DataFrame:
    """What is known of the runs of each label of each case."""
    drawn = completeness["n_slices"] > 0
    swapped = completeness["faults"].map(lambda cell: not WRONG_LABEL.isdisjoint(from_cell(cell)))
    most = completeness.groupby(ORGAN)["slices_expected"].transform("max")
    seen = (completeness["n_slices"] / most.where(most > 0)).clip(upper=1.0)
    coverage = completeness["coverage"].fillna(seen)  # nothing was expected, and it was drawn
    coverage = coverage.where(drawn, 0.0)
    coverage = coverage.where(drawn | ~completeness["state"].isin(["complete", "absent"]), 1.0)
    frame = completeness[ORGAN].assign(
        coverage=coverage,
        truncated_share=(completeness["truncated"] != "").astype(float).where(drawn),
        swapped_share=swapped.astype(float).where(drawn),
        length_ratio=completeness["length_ratio"].where(drawn),
    )
    added = [one.name for check in registered("run") for one in check.measures]
    groups = frame.join(completeness.reindex(columns=added)).groupby(ORGAN)
    means = groups[["truncated_share", "swapped_share"]].mean().fillna(0.0)
    return means.join([groups[["coverage", "length_ratio"]].max(), groups[added].mean()])


def case_measures(labels: pd.DataFrame) -> pd.DataFrame:
    """Measures of each case, indexed by case: sums and means of those of its labels.

    ``n_slices``, ``n_gaps``, ``n_absent`` labels without a usable box that should be there,
    ``coverage``, the mean over its labels.
    """
    groups = labels.groupby("case", sort=False)
    return pd.DataFrame(
        {
            "n_slices": groups["n_slices"].sum(),
            "n_gaps": groups["n_gaps"].sum(),
            "n_absent": groups["absent"].sum(),
            "coverage": groups["coverage"].mean(),
        }
    )


def box_measures(prompts: pd.DataFrame, alone: pd.Series | None = None) -> pd.DataFrame:
    """Measures of each fused box.

    Parameters
    ----------
    prompts : DataFrame
        Rows of the table ``consensus``; may have ``graded_bad``, 1 where an expert graded the box
        as bad, else 0.
    alone : Series, optional
        As from `crowdqc.judge.isolated`. None: not known.

    Returns
    -------
    DataFrame
        A row for each of `prompts`, with its ``case, slice, label``: ``score``,
        ``expected_error``, ``wrong``, ``support``, ``n_raters``, ``support_share``, ``spread``
        (the largest spread of an edge in px; nan for a single rater), ``width``, ``height`` in px,
        ``interpolated`` (1 or 0), ``isolated`` (1, 0 or nan), ``graded_bad``.
    """
    spread = prompts[["spread_x0", "spread_y0", "spread_x1", "spread_y1"]].max(axis=1)
    known = ["case", "slice", "label", "score", "expected_error", "wrong", "support", "n_raters"]
    return prompts[[name for name in known if name in prompts]].assign(
        support_share=prompts["support"] / prompts["n_raters"].where(prompts["n_raters"] > 0),
        spread=spread,
        width=prompts["x1"] - prompts["x0"],
        height=prompts["y1"] - prompts["y0"],
        interpolated=(prompts["method"] == INTERPOLATED).astype(float),
        isolated=np.nan if alone is None else alone,
        graded_bad=prompts.get("graded_bad", 0.0),
    )


def slice_measures(consensus: pd.DataFrame) -> pd.DataFrame:
    """Measures of each slice with a box, with its ``case, slice``.

    ``n_boxes`` drawn, of them ``n_usable``, ``agreed_share`` (their ratio), ``score``, the mean
    over the usable ones (nan without any).
    """
    key = ["case", "slice"]
    usable = consensus["state"].isin(USABLE)
    frame = consensus[key].assign(usable=usable, score=consensus["score"].where(usable))
    groups = frame.groupby(key, sort=False)
    table = pd.DataFrame(
        {
            "n_boxes": groups.size(),
            "n_usable": groups["usable"].sum(),
            "agreed_share": groups["usable"].mean(),
            "score": groups["score"].mean(),
        }
    )
    return table.reset_index()


def with_counts(
    measures: Mapping[str, pd.DataFrame], findings: Iterable[Finding], policy: Policy
) -> dict[str, pd.DataFrame]:
    """Measures, and beside them how many findings of each check that a rule counts there are.

    Parameters
    ----------
    measures : mapping of str to DataFrame
        Scope -> its measures, a row for each unit.
    findings : iterable of Finding
        Of all stages: each counts for the rater, the label of a case, and the case that it names,
        and for the study.
    policy : Policy
        What is asked.

    Returns
    -------
    dict of str to DataFrame
        Further columns ``findings:CHECK``; for the scope ``study`` one row with these alone.
    """
    findings, counted = list(findings), dict(measures)
    for scope, named in COUNTED.items():
        units = measures.get(scope, pd.DataFrame(index=[()]))
        for check in {name for rule in policy.rules if rule.scope == scope for name in rule.checks}:
            places = [[getattr(f, name) for name in named] for f in findings if f.check == check]
            numbers = Counter(place[0] if len(named) == 1 else tuple(place) for place in places)
            units = units.assign(**{FINDINGS + check: [numbers[unit] for unit in units.index]})
        counted[scope] = units
    return counted


def judged_findings(findings: Iterable[Finding], completeness: pd.DataFrame) -> list[Finding]:
    """Findings as the gate should count them.

    What is wrong with the run of one rater, where others drew the same label in the case, is no
    fault of the label: their boxes are fused, and the measures say what is left. Such a finding
    becomes a note; the rater is judged by measures, too.

    Parameters
    ----------
    findings : iterable of Finding
        Of all stages.
    completeness : DataFrame
        The table ``completeness``.

    Returns
    -------
    list of Finding
        As many, in the same order.
    """
    drawn = completeness[completeness["n_slices"] > 0]
    raters = drawn.groupby(ORGAN)["rater"].agg(set).to_dict()
    asked = completeness.groupby(["case", "rater"])["label"].agg(list).to_dict()
    judged = []
    for finding in findings:
        labels = [finding.label] if finding.label else asked.get((finding.case, finding.rater), [])
        others = [raters.get((finding.case, label), set()) - {finding.rater} for label in labels]
        if finding.rater is not None and others and all(others):
            judged.append(dataclasses.replace(finding, severity=Severity.NOTE))
        else:
            judged.append(finding)
    return judged
