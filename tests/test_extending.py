"""The examples of docs/extending.md, each installed as a package of its own and used."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crowdqc.plugins import Group
from tests.niftis import save
from tests.packages import install, run_crowdqc
from tests.studies import TABLE, VOLUMES, write_boxes

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "extending.md").read_text(encoding="utf-8")
OWN = {
    "square_boxes": Path(__file__).parent / "plugins" / "square_boxes" / "square_boxes.py",
    "example_predictor": Path(__file__).parent / "samgen" / "example_predictor.py",
    "example_volume_predictor": Path(__file__).parent / "samgen" / "example_volume_predictor.py",
}
"""Examples that tests of their rooms use, too."""
POLICY = "format_version = 1\n" + PAGE.rpartition("```toml\n")[2].partition("```")[0]


def examples() -> dict[str, tuple[str, str]]:
    """Entry point group -> text of pyproject.toml and of the module."""
    found = {}
    for section in PAGE.split("\n## ")[1:]:
        blocks = re.findall(r"```(toml|python)\n(.*?)```", section, re.DOTALL)
        texts = [text for _, text in blocks]
        (group,) = tomllib.loads(texts[0])["project"]["entry-points"]
        found[group] = (texts[0], texts[1])
    return found


EXAMPLES = examples()


class Installed:
    """A folder with a study, and a process in which one example is installed."""

    def __init__(self, folder: Path, group: str) -> None:
        self.folder = folder
        pyproject, code = EXAMPLES[group]
        project = tomllib.loads(pyproject)["project"]
        ((self.name, _),) = project["entry-points"][group].items()
        install(folder / "site", project, code)
        _write_study(folder)
        if group == "crowdqc.checks":
            (folder / "policy.toml").write_text(POLICY)
            with (folder / "study.toml").open("a") as study:
                study.write('[gate]\npolicy = "policy.toml"\n')

    def run(self, *words: str) -> str:
        done = run_crowdqc(self.folder, *words)
        assert done.returncode in {0, 3}, done.stderr
        return done.stdout

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.folder / "out" / f"{name}.csv")


def _write_study(folder: Path) -> None:
    """Three raters of two slices; one draws squares."""
    rows = []
    for k in range(3):
        for place, rater in enumerate("abc"):
            right, lower = (32 + place, 26) if rater != "c" else (26, 26)
            rows.append(("p1", k, rater, "liver", 10 + place, 10, right + place, lower))
    volume = np.full((40, 36, 3), 20, np.int16)
    volume[12:30, 12:24] = 150
    save(folder / "p1.nii.gz", volume)
    write_boxes(folder, rows, TABLE + VOLUMES)


@pytest.mark.parametrize("group", EXAMPLES)
def test_an_example_is_short(group: str):
    _, code = EXAMPLES[group]

    assert len(code.splitlines()) < 60


@pytest.mark.parametrize("name", OWN)
def test_the_page_shows_the_example_that_is_tested(name: str):
    assert f"```python\n{OWN[name].read_text(encoding='utf-8')}```" in PAGE


def test_there_is_an_example_for_each_group():
    assert set(EXAMPLES) == set(Group.__args__)


def test_a_format_is_written_and_read_again(tmp_path: Path):
    installed = Installed(tmp_path, "crowdqc.formats")

    installed.run("convert", "study.toml", "via", "--to", installed.name, "-q")
    installed.run("check", "via/study.toml", "-q")

    first = pd.read_csv(tmp_path / "boxes.csv")[["rater", "x0", "y0", "x1", "y1"]]
    again = pd.read_csv(next(tmp_path.glob("via/**/out/boxes.csv")))
    again = again[first.columns].sort_values(list(first.columns), ignore_index=True)
    np.testing.assert_allclose(
        again.drop(columns="rater"),
        first.sort_values(list(first.columns)).drop(columns="rater"),
    )


def test_a_method_of_fusion_fuses(tmp_path: Path):
    installed = Installed(tmp_path, "crowdqc.fusion")

    installed.run("fuse", "study.toml", "--method", installed.name, "-q")

    table = installed.table("consensus")
    assert set(table["method"]) == {installed.name}
    assert table["x0"].tolist() == [11, 11, 11]  # of 10, 11 and 12
    assert installed.name in installed.run("fuse", "--help")


def test_a_model_draws(tmp_path: Path):
    installed = Installed(tmp_path, "crowdqc.predictors")

    installed.run("masks", "study.toml", "--model", installed.name, "-q")

    assert set(installed.table("masks")["model"]) == {installed.name}
    assert installed.name in installed.run("masks", "--help")


def test_a_model_of_volumes_draws(tmp_path: Path):
    installed = Installed(tmp_path, "crowdqc.predictors")
    project = {
        "name": "crowdqc-volume-otsu",
        "entry-points": {
            "crowdqc.predictors": {"volume-otsu": "example_volume_predictor:VolumeOtsu"}
        },
    }
    install(tmp_path / "site", project, OWN["example_volume_predictor"].read_text("utf-8"))

    installed.run("masks", "study.toml", "--model", "volume-otsu", "-q")

    table = installed.table("masks")
    assert set(table["model"]) == {"volume-otsu"}
    lower = installed.table("consensus")["y1"].round()  # it ends within the object, from 12
    assert table["area_px"].tolist() == (12 * (lower - 12)).tolist()
    assert installed.table("risk")["risk"].notna().all()


def test_a_measure_is_a_column_a_rule_and_a_part_of_the_report(tmp_path: Path):
    installed = Installed(tmp_path, "crowdqc.checks")

    installed.run("gate", "study.toml", "-q")
    installed.run("report", "study.toml", "-q", "--no-charts")

    raters = installed.table("raters").set_index("rater")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert raters["square_share"].round(2).to_dict() == {"a": 0, "b": 0, "c": 1}
    assert "organs are not square" in raters.loc["c", "reasons"]
    assert "Square share" in page
    assert "share of the boxes that are square" in page
    assert "organs are not square" in page


RUN_CHECK = {
    "name": "wide-runs",
    "version": "1.0",
    "entry-points": {"crowdqc.checks": {"run-wide": "wide_runs:CHECK"}},
}
RUN_CODE = """
import numpy as np

from crowdqc.checks import Check, Measure
from crowdqc.completeness.checks import run_finding
from crowdqc.findings import Severity


def width(data):
    boxes = data.runs.drawn
    mean = (boxes["x1"] - boxes["x0"]).groupby(boxes["run"]).mean()
    return {"mean_width": mean.reindex(range(len(data.facts))).to_numpy()}


def find(data):
    for row, value in enumerate(width(data)["mean_width"]):
        if value > 20:
            place = data.facts.iloc[row]
            text = f"its boxes are {value:.0f} px wide"
            yield [row], run_finding(place, "run-wide", text, value=value, limit=20.0, unit="px")


CHECK = Check(
    of="run",
    find=find,
    findings={"run-wide": Severity.NOTE},
    measures=(Measure("mean_width", "px", "mean width of the boxes of a run"),),
    measure=width,
)
"""
RUN_POLICY = """
[[rules]]
scope = "label"
measure = "mean_width"
op = ">"
limit = 19
severity = "reject"
because = "the organ is too wide"
[[rules]]
scope = "rater"
measure = "findings:run-wide"
op = ">"
limit = 0
severity = "review"
because = "draws too wide"
"""


def test_a_check_of_runs_is_a_column_a_finding_two_rules_and_a_part_of_the_report(tmp_path: Path):
    """A package of two files: pyproject.toml, of which `RUN_CHECK` is the table, and a module."""
    install(tmp_path / "site", RUN_CHECK, RUN_CODE)
    _write_study(tmp_path)
    boxes = pd.read_csv(tmp_path / "boxes.csv")
    boxes.drop(index=4).to_csv(tmp_path / "boxes.csv", index=False)  # a gap: the report has runs
    (tmp_path / "policy.toml").write_text(RUN_POLICY)
    with (tmp_path / "study.toml").open("a") as study:
        study.write('[gate]\npolicy = "policy.toml"\n')

    assert run_crowdqc(tmp_path, "gate", "study.toml", "-q").returncode == 3
    assert run_crowdqc(tmp_path, "report", "study.toml", "-q", "--no-charts").returncode == 0

    out = tmp_path / "out"
    runs = pd.read_csv(out / "completeness.csv").set_index("rater")
    assert runs["mean_width"].to_dict() == {"a": 22, "b": 23, "c": 16}
    findings = (out / "complete.findings.jsonl").read_text(encoding="utf-8").splitlines()
    assert sum('"run-wide"' in line for line in findings) == 2
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert [one["verdict"] for one in manifest["raters"]] == ["review", "review", "accept"]
    (reason,) = manifest["cases"][0]["labels"]["liver"]["reasons"]
    assert (reason["measure"], round(reason["value"], 3)) == ("mean_width", 20.333)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Mean width" in page
    assert "the organ is too wide" in page


def commands_of(page: str) -> list[list[str]]:
    """Commands that a page of docs/howto shows, as words without the first."""
    text = (DOCS / "howto" / f"{page}.md").read_text(encoding="utf-8")
    shown = "".join(re.findall(r"```text\n(.*?)```", text, re.DOTALL)).splitlines()
    words = (shlex.split(line, comments=True) for line in shown)
    return [line[1:] for line in words if line[0] == "crowdqc"]


def test_the_page_on_a_format_of_ones_own_does_what_it_says(tmp_path: Path):
    installed = Installed(tmp_path, "crowdqc.formats")
    installed.run("convert", "study.toml", "FOLDER", "--to", installed.name, "-q")

    for words in commands_of("own-format"):
        installed.run(*words)

    assert (tmp_path / "out" / "boxes.csv").is_file() or list(tmp_path.glob("**/out/boxes.csv"))
    assert list((tmp_path / "copy").iterdir())


def test_the_page_on_a_model_of_ones_own_does_what_it_says(tmp_path: Path):
    installed = Installed(tmp_path, "crowdqc.predictors")
    (entry,) = tomllib.loads(EXAMPLES["crowdqc.predictors"][0])["project"]["entry-points"][
        "crowdqc.predictors"
    ].values()
    project = {"name": "mine", "entry-points": {"crowdqc.predictors": {"mine": entry}}}
    install(tmp_path / "site", project, EXAMPLES["crowdqc.predictors"][1])
    page = (DOCS / "howto" / "own-model.md").read_text(encoding="utf-8")
    with (tmp_path / "study.toml").open("a") as study:
        study.write(page.partition("```toml\n")[2].partition("```")[0])
    *draw, risk = commands_of("own-model")

    for words in draw:
        installed.run(*words)
    shutil.copytree(tmp_path / "out" / "masks", tmp_path / "other")
    installed.run(*risk)

    assert set(installed.table("masks")["model"]) == {installed.name}  # as the model calls itself
    assert installed.table("risk")["risk"].notna().any()
