"""The last stage: the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from crowdqc.stages.base import Result, Run
from crowdqc.store import Store
from crowdqc.text import visible

if TYPE_CHECKING:
    from crowdqc.report import ReportContent

_OWN = ("gate again", "report")
"""Stages of which people know nothing, or that write this report."""
FOLDER = "report"
"""Where the tables of a report in CSV are."""


def write_report(
    run: Run,
    *,
    stale: Mapping[str, str],
    form: str = "html",
    charts: bool = True,
    n_pictures: int | None = None,
    other: Store | None = None,
) -> Result:
    """Write the report in one form.

    Parameters
    ----------
    run : Run
        The study.
    stale : mapping of str to str
        Stages whose results are older than what they were made from, and why.
    form : {"html", "md", "json", "csv"}, optional
        ``csv`` is a folder of tables, anything else one file.
    charts : bool, optional
        Whether the page has charts; without them it is 5 MB smaller.
    n_pictures : int, optional
        Number of pictures in the page at most.
    other : Store, optional
        Results to compare with.
    """
    from crowdqc.report import Caution, gather, to_csv
    from crowdqc.report.pictures import MAX_PICTURES

    if n_pictures is None:
        n_pictures = MAX_PICTURES
    older = {name: why for name, why in stale.items() if name not in _OWN}
    if older:
        run.say(f"Out of date, and shown as they were: {', '.join(older)}. Renew them: crowdqc run")
    caution = Caution(older, run.store.untrusted())
    content = gather(run.store, run.config, n_pictures=n_pictures, other=other, caution=caution)
    if form == "csv":
        with run.store.new_folder(FOLDER) as folder:
            for name, text in to_csv(content).items():
                (folder / name).write_text(text, encoding="utf-8", newline="")
        return _result(run, FOLDER)
    name = f"report.{form}"
    run.store.write_text(name, _writer(form, charts=charts)(content))
    if form == "html":
        _write_multiqc(run)
    return _result(run, name)


def _write_multiqc(run: Run) -> None:
    """Write the verdicts for MultiQC, where the gate has decided."""
    from crowdqc.report.multiqc import NAME, to_multiqc
    from crowdqc.report.results import read_verdicts

    manifest, boxes = read_verdicts(run.store)
    if manifest:
        run.store.write_text(NAME, to_multiqc(manifest, boxes))


def _writer(form: str, *, charts: bool) -> Callable[[ReportContent], str]:
    from crowdqc.report import render, to_json, to_markdown

    return {
        "html": lambda content: render(content, charts=charts),
        "md": lambda content: visible(to_markdown(content)),
        "json": to_json,
    }[form]


def _result(run: Run, name: str) -> Result:
    path = run.store.path(name)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    size = sum(file.stat().st_size for file in files) / 1e6
    table = pd.DataFrame([{"report": str(path), "megabytes": size}])
    return Result(table=table, shown=table, summary=f"Report: {path}", files=[name])
