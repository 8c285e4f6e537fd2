"""Other ways to look at what a stage found: what a flag of its command shows instead."""

from __future__ import annotations

from collections.abc import Callable

from crowdqc.stages.base import Result, Run
from crowdqc.stages.boxes import load_study, match_study

MOST = 20
"""Rows that are shown on a terminal."""


def ask(run: Run) -> Result:
    """Objects for which one more rater is worth most."""
    from crowdqc.fusion import ask as ask_more

    table = ask_more(match_study(load_study(run), run.config))
    shown = ["case", "slice", "label", "n_raters", "n_asked", "score", "expected_error", "value"]
    known = table["value"].notna()
    summary = f"{int((table['value'] > 0).sum())} objects would gain from one more rater."
    if not known.any():
        summary = "What one more rater is worth is not known: no object was drawn by two raters."
    return Result(table=table, shown=table.loc[known, shown].head(MOST), summary=summary)


def dry_run(run: Run) -> Result:
    """What drawing masks would take."""
    from crowdqc.stages.forecast import dry_run as forecast

    return forecast(run)


VIEWS: dict[str, Callable[[Run], Result]] = {"ask": ask, "dry-run": dry_run}
"""Flag of a command -> what it shows."""
BEFORE = {"dry-run"}
"""Flags that show what a stage would do: it is not run, but those that it needs are."""
