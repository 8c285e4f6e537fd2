import pandas as pd

from crowdqc.report.progress import HEIGHT, WIDTH, progress_section, timeline
from crowdqc.report.results import Results
from crowdqc.schema import conform, empty


def results(returns=None):
    readings = conform(
        "readings",
        pd.DataFrame({"case": "1", "slice": 0, "rater": ["ann", "bob"], "state": "boxed"}),
    )
    tables = {"readings": readings} | ({} if returns is None else {"returns": returns})
    return Results("s", ("liver",), tables, (), {}, (), (), "0")


def history(days):
    """Date -> rater -> agreement; `bob` has 3 of 10 slices left on the first date."""
    rows = []
    for n, (date, values) in enumerate(days.items()):
        left = 0 if n else 3
        rows.append((date, date, "", "", 20, left, 17, 20, 0.5, "review"))
        for rater, value in values.items():
            rows.append((date, date, rater, "", 10, left * (rater == "bob"), 10, 10, value, ""))
    names = ["date", "inputs", "rater", "case", "n_owed", "n_left", "n_read", "n_boxes"]
    return conform("history", pd.DataFrame(rows, columns=[*names, "agreement", "verdict"]))


WEEKS = {
    "2026-11-01": {"ann": 0.9, "bob": 0.5},
    "2026-11-08": {"ann": 0.9, "bob": 0.7},
    "2026-11-15": {"ann": 0.9, "bob": 0.9},
}


def test_nothing_assigned_and_nothing_known_has_no_section():
    assert progress_section(results(), empty("history")) is None


def test_the_timeline_places_dates_and_values():
    found = timeline(results(), history(WEEKS))

    bob = next(line for line in found.lines if line.rater == "bob")
    assert [round(x) for x, _ in bob.points] == [0, WIDTH / 2, WIDTH]
    assert [round(y, 6) for _, y in bob.points] == [
        round(HEIGHT * (1 - value), 6) for value in (0.5, 0.7, 0.9)
    ]
    assert [(done, left) for _, done, left in found.read] == [(17, 3), (20, 0), (20, 0)]
    assert "bob from 0.50 to 0.90" in found.alt


def test_what_is_left_is_said_with_who_owes_it():
    section = progress_section(results(), history({"2026-11-01": WEEKS["2026-11-01"]}))

    assert section.status == "review"
    assert "17 of 20 assigned slices are done; still to read: bob." in section.lead[0]


def test_what_came_back_is_counted_by_its_outcome():
    row = {"round": 2, "task": "draw", "n_asked": 5, "n_back": 5, "n_shown": 0, "n_runs": 4}
    outcomes = ["better", "worse", "no difference shown", "not back"]
    table = pd.DataFrame([{**row, "rater": "ann", "outcome": one} for one in outcomes])
    table.loc[3, "n_back"] = 0

    section = progress_section(results(conform("returns", table)), history(WEEKS))

    told = "4 tasks in work packages, 3 came back: 1 better than before, 1 worse, and 1 without"
    assert any(told in text for text in section.lead)
    assert section.status == "review"
    assert [one.name for one in section.tables] == ["progress", "returns"]
