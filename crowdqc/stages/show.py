"""The last stage: the report."""

from __future__ import annotations

import pandas as pd

from crowdqc.stages.base import Result, Run

REPORT = "report.html"


def report(run: Run) -> Result:
    """Write the report from whatever the other stages left."""
    from crowdqc.report import gather, render

    run.store.write_text(REPORT, render(gather(run.store, run.config)))
    path = run.store.path(REPORT)
    table = pd.DataFrame([{"report": str(path), "megabytes": path.stat().st_size / 1e6}])
    return Result(table=table, shown=table, summary=f"Report: {path}", files=[REPORT])
