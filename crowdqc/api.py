"""What ``import crowdqc`` offers beyond functions of single rooms: a study from end to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from crowdqc.agreement import assess_raters
from crowdqc.completeness import assess
from crowdqc.config import load_config
from crowdqc.findings import Finding
from crowdqc.formats import read_study as read_annotations
from crowdqc.fusion import fuse
from crowdqc.judge import Manifest, Policy, judge_raters, load_policy, make_manifest
from crowdqc.matching import Matched, match
from crowdqc.schema import Study
from crowdqc.stages.gate import Measured, judge_measured
from crowdqc.stages.images import known_images
from crowdqc.stages.mask_sets import read_manifest
from crowdqc.stages.pipeline import open_run, run_all

__all__ = ["gate", "read_study", "run", "score_raters"]


def read_study(file: str | Path) -> tuple[Study, list[Finding]]:
    """Read the annotations that a study file names.

    Parameters
    ----------
    file : path
        The study file (TOML).

    Returns
    -------
    study : Study
        Everything that is sound.
    findings : list of Finding
        One for everything that is not, and for everything that was inferred.

    Raises
    ------
    InputError
        If nothing can be read, or the study file is wrong.

    Examples
    --------
    Boxes are written as a table with a study file, and read again.

    >>> import tempfile
    >>> import crowdqc
    >>> folder = Path(tempfile.mkdtemp()) / "study"
    >>> crowdqc.convert(crowdqc.Study.from_boxes(crowdqc.example_boxes()), "table", folder)
    []
    >>> study, findings = crowdqc.read_study(folder / "study.toml")
    >>> study.raters, len(study.boxes), findings
    (['ann', 'bob', 'cem'], 71, [])
    """
    config = load_config(Path(file))
    return read_annotations(config, known_images(config))


def score_raters(
    matched: Matched, *, gold: pd.DataFrame | None = None, policy: Policy | None = None
) -> pd.DataFrame:
    """A scorecard for each rater, with the verdict of a policy.

    Parameters
    ----------
    matched : Matched
        The study with its boxes matched, as from `match`.
    gold : DataFrame, optional
        True boxes: ``case, slice, label, x0, y0, x1, y1``.
    policy : Policy, optional
        Whose rules about raters are asked. None: the one that crowdqc ships.

    Returns
    -------
    DataFrame
        Table ``raters``, as ``crowdqc agree`` writes it. Where no slice was read by two raters for
        the same label, scores are nan.

    Examples
    --------
    >>> import crowdqc
    >>> matched = crowdqc.match(crowdqc.Study.from_boxes(crowdqc.example_boxes()))
    >>> table = crowdqc.score_raters(matched).set_index("rater")
    >>> table["n_boxes"].to_dict(), round(float(table.loc["cem", "shift_x"]))
    ({'ann': 24, 'bob': 24, 'cem': 23}, 6)
    """
    found = assess_raters(matched, gold=gold)
    return judge_raters(found.raters, found.findings, policy)


def gate(
    study: Study, *, policy: Policy | None = None, gold: pd.DataFrame | None = None
) -> Manifest:
    """Judge raters, cases and labels, and list the boxes that may be used.

    Parameters
    ----------
    study : Study
        What was read.
    policy : Policy, optional
        The rules. None: those that crowdqc ships.
    gold : DataFrame, optional
        True boxes: ``case, slice, label, x0, y0, x1, y1``.

    Returns
    -------
    Manifest
        ``verdict``, ``reasons``, ``raters``, ``cases`` and ``prompts``, as ``crowdqc gate`` writes
        it; boxes are fused by the default method.

    Examples
    --------
    >>> import crowdqc
    >>> manifest = crowdqc.gate(crowdqc.Study.from_boxes(crowdqc.example_boxes()))
    >>> manifest.verdict.value, manifest.counts["prompts"]
    ('review', 24)
    """
    policy = policy or load_policy()
    matched = match(study)
    raters = assess_raters(matched, gold=gold)
    completeness, findings = assess(study)
    found = Measured(
        raters=judge_raters(raters.raters, raters.findings, policy),
        completeness=completeness,
        consensus=fuse(matched),
        findings={"check": [], "agree": raters.findings, "complete": findings},
        rater_scope=study.rater_scope,
    )
    judged = judge_measured(found, policy)
    return make_manifest(
        judged.decision, judged.prompts, study=study.name, policy=policy, created_from={}
    )


def run(
    file: str | Path, *, out: str | Path | None = None, say: Callable[[str], None] = print
) -> Manifest:
    """Run every stage of a study that is not up to date, from its annotations to the report.

    Parameters
    ----------
    file : path
        The study file (TOML).
    out : path, optional
        Folder of results instead of ``[study] out``.
    say : callable
        Called with a line of text for everything that happens.

    Returns
    -------
    Manifest
        What the gate decided; the tables and the report are in the folder of results.

    Raises
    ------
    InputError
        If a file cannot be read or is wrong.

    Examples
    --------
    >>> import tempfile
    >>> import crowdqc
    >>> folder = Path(tempfile.mkdtemp()) / "study"
    >>> crowdqc.convert(crowdqc.Study.from_boxes(crowdqc.example_boxes()), "table", folder)
    []
    >>> manifest = crowdqc.run(folder / "study.toml", say=lambda line: None)
    >>> manifest.verdict.value, (folder / "out" / "report.html").exists()
    ('review', True)
    """
    opened = open_run(Path(file), out=None if out is None else Path(out), say=say)
    try:
        run_all(opened)
        return read_manifest(opened)
    finally:
        opened.store.release()
