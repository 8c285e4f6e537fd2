"""The page reports/adapt.md, from its result file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from draws import crossed_interval, read_unit, signed, table, verdict

ROOT = Path(__file__).parents[1]
DATA = ROOT / "reports" / "data"
FILE = "adapt.csv"
PAGE = Path(__file__).with_name("adapt_page.md")
KEY = ["source", "model"]


def write_report(frame: pd.DataFrame) -> None:
    """Write the result file and the page."""
    columns = [*KEY, "n", "draw", "case", "dice", "step", "gain", "low", "high", "written"]
    frame[columns].to_csv(DATA / FILE, index=False, float_format="%.4f", lineterminator="\n")
    (ROOT / "reports" / "adapt.md").write_text(page(DATA), encoding="utf-8")


def page(data: Path) -> str:
    """The page that the result file makes."""
    frame = read_unit(data / FILE)
    text = PAGE.read_text(encoding="utf-8")
    return (
        text.replace("{curve}", table(curve(frame)))
        .replace("{decisions}", table(decisions(frame)))
        .replace("{most}", "\n".join(sentences(frame)))
        .replace("{right}", right_or_wrong(frame))
        .replace("{missing}", missing(frame))
    )


def missing(frame: pd.DataFrame) -> str:
    """What was not run."""
    if "hippocampus" in set(frame["source"]):
        return ""
    return (
        "**Not run here: hippocampi.** The machine was shared and its time ran out; the command "
        "above makes them. What follows is of cells alone.\n\n"
    )


def changes(rows: pd.DataFrame, n: int) -> np.ndarray:
    """Dice after learning from n cases less before, (draws, cases)."""
    dice = rows.pivot_table(index=["n", "draw"], columns="case", values="dice")
    return dice.loc[n].to_numpy() - dice.loc[0].to_numpy()


def curve(frame: pd.DataFrame) -> pd.DataFrame:
    """Dice of the test cases as the model was, and what is gained from each number of cases."""
    found = []
    for (source, model), rows in frame.groupby(KEY, sort=False):
        line = {"cases": source, "model": model}
        line["0"] = f"{rows.loc[rows['n'] == 0, 'dice'].mean():.3f}"
        for n in sorted(set(rows["n"]) - {0}):
            line[str(n)] = signed(crossed_interval(changes(rows, n)))
        found.append(line)
    return pd.DataFrame(found)


def runs(frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each run: what the held-out cases said, and what the test cases gained."""
    learned = frame[frame["n"] > 0]
    before = frame.loc[frame["n"] == 0, [*KEY, "case", "dice"]]
    both = learned.merge(before, on=[*KEY, "case"], suffixes=("", "_before"))
    both["change"] = both["dice"] - both["dice_before"]
    mean = both.groupby([*KEY, "n", "draw"], sort=False)
    return mean[["gain", "low", "written", "step", "change"]].mean().reset_index()


def decisions(frame: pd.DataFrame) -> pd.DataFrame:
    """How often a model was written, and what was gained where it was and where it was not."""
    found = []
    for (source, model), rows in runs(frame).groupby(KEY, sort=False):
        kept, refused = rows[rows["written"] == 1], rows[rows["written"] == 0]
        found.append(
            {
                "cases": source,
                "model": model,
                "runs": len(rows),
                "written": len(kept),
                "gain where written": _mean(kept["change"]),
                "gain where refused": _mean(refused["change"]),
                "of these at step 0": int((refused["step"] == 0).sum()),
            }
        )
    return pd.DataFrame(found)


def _mean(values: pd.Series) -> str:
    return f"{values.mean():+.3f}" if len(values) else "none"


def sentences(frame: pd.DataFrame) -> list[str]:
    """What the largest number of cases comes to, in words."""
    most = int(frame["n"].max())
    return [
        f"- {model}, {source}, {most} cases: {verdict(crossed_interval(changes(rows, most)))}."
        for (source, model), rows in frame.groupby(KEY, sort=False)
    ]


def right_or_wrong(frame: pd.DataFrame) -> str:
    """How the decision on the held-out cases stands to the test cases."""
    each = runs(frame)
    kept = each[each["written"] == 1]
    worse = int((kept["change"] <= 0).sum())
    lost = each[(each["written"] == 0) & (each["change"] > 0.005)]
    error = each.loc[each["step"] > 0, "gain"] - each.loc[each["step"] > 0, "change"]
    return (
        f"Of {len(each)} runs {len(kept)} wrote a model; of these {worse} gained nothing on the "
        f"test cases. {len(lost)} runs that gained more than .005 there were refused. On average "
        f"the gain on the three held-out cases exceeded that on the test cases by "
        f"{error.mean():+.3f} "
        f"(standard deviation {error.std():.3f}, {len(error)} runs that left step 0). Runs of a "
        "draw share their held-out cases, so that this is a matter of few cases."
    )
