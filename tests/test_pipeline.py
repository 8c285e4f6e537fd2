"""The whole pipeline, from boxes to the report, as a user runs it."""

import dataclasses
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from crowdqc.agreement import Resampling, assess_raters
from crowdqc.config import load_config
from crowdqc.findings import parse_findings
from crowdqc.formats import read_study
from crowdqc.matching import match
from crowdqc.schema import TABLES
from tests.commands import call

CONFIGS = Path(__file__).parents[1] / "configs"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo, run once for all tests of this module."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    result = call("demo", folder)
    assert result.exit_code == 0, result.stderr
    return folder, result


def contents(folder):
    """Bytes of every result; the state file holds times of change."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if path.name != "crowdqc.json"
    }


def test_the_demo_ends_with_the_path_of_its_report(demo):
    folder, result = demo

    report, review = result.stderr.splitlines()[-2:]
    assert report.endswith("out/report.html")
    assert review.endswith(f"crowdqc review {folder / 'study.toml'}")
    assert (folder / "out" / "report.html").stat().st_size > 100_000


def test_every_column_of_every_table_is_declared(demo):
    folder, _ = demo
    tables = {path.stem: pd.read_csv(path, nrows=0) for path in (folder / "out").glob("*.csv")}

    assert {"raters", "todo", "risk", "scores"} <= set(tables) <= set(TABLES)
    for name, table in tables.items():
        assert set(table.columns) <= {column.name for column in TABLES[name]}, name


def test_the_planted_faults_are_found_and_named(demo):
    folder, _ = demo
    raters = pd.read_csv(folder / "out" / "raters.csv").set_index("rater")
    manifest = json.loads((folder / "out" / "manifest.json").read_text(encoding="utf-8"))
    verdicts = {one["rater"]: one["verdict"] for one in manifest["raters"]}
    reasons = {
        one["rater"]: {why["measure"] for why in one["reasons"]} for one in manifest["raters"]
    }
    page = (folder / "out" / "report.html").read_text(encoding="utf-8")

    assert verdicts["steady"] == "accept"
    assert all(verdicts[name] != "accept" for name in ("careless", "shifted", "swapping"))
    assert verdicts["skipping"] != "accept"
    assert "coverage_high" in reasons["skipping"]
    # What is not drawn is no question of agreement: the gate asks for coverage, `agree` does not.
    assert raters["verdict"].to_dict() == {**verdicts, "skipping": "accept"}
    assert raters.loc["shifted", ["shift_x", "shift_y"]].tolist() == pytest.approx([4, -2], abs=0.5)
    assert raters["reliability"].idxmax() in {"steady", "skipping"}
    assert all(name in page for name in ("careless", "shifted", "swapping", "skipping"))


def test_filtering_helps_where_faults_were_planted(demo):
    folder, _ = demo
    scores = pd.read_csv(folder / "out" / "scores.csv")
    means = scores[scores["slice"].isna()].groupby("set")["dice"].mean()

    assert means["filtered"] > means["unfiltered"]
    assert means["filtered"] > 0.85


def test_the_masks_are_judged_once_they_are_drawn(demo):
    folder, _ = demo
    manifest = json.loads((folder / "out" / "manifest.json").read_text(encoding="utf-8"))
    masks = pd.read_csv(folder / "out" / "masks.csv")

    assert masks["risk"].between(0, 1).all()
    judged = pd.DataFrame(manifest["units"]["mask"])
    assert len(judged) == (masks["risk"] >= 0.2).sum() > 0
    assert (judged["verdict"] == "reject").sum() == (masks["risk"] >= 0.5).sum()
    assert "risk.csv" in manifest["created_from"]


def test_gating_once_more_judges_the_masks_and_says_where_they_are_out_of_date(demo, tmp_path):
    folder = shutil.copytree(demo[0], tmp_path / "demo")
    before = (folder / "out" / "manifest.json").read_bytes()

    assert call("gate", folder / "study.toml").exit_code == 0
    assert (folder / "out" / "manifest.json").read_bytes() == before

    box = next((folder / "boxes" / "steady").glob("*.txt"))
    box.write_text("")
    assert call("gate", folder / "study.toml").exit_code == 0
    manifest = json.loads((folder / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["units"]["mask"]  # what was wrong with them has not become better
    assert "masks-stale" in {why["measure"] for why in manifest["reasons"]}


def test_masks_drawn_otherwise_are_judged_again(demo, tmp_path):
    folder = shutil.copytree(demo[0], tmp_path / "demo")
    study, manifest = folder / "study.toml", folder / "out" / "manifest.json"
    before = json.loads(manifest.read_text(encoding="utf-8"))["created_from"]

    assert call("masks", study, "--prompts", "2").exit_code == 0
    result = call("dataset", study)
    assert result.exit_code == 0, result.stderr
    assert json.loads(manifest.read_text(encoding="utf-8"))["created_from"] == before

    assert call("risk", study, "--masks", "out/masks/unfiltered/{case}.nii.gz").exit_code == 0
    assert call("dataset", study).exit_code == 0
    after = json.loads(manifest.read_text(encoding="utf-8"))["created_from"]
    assert [name for name in before if after[name] != before[name]] == ["risk.csv"]


def test_two_runs_give_the_same_bytes(demo, tmp_path):
    folder, _ = demo

    result = call("run", folder / "study.toml", "--out", tmp_path / "again")

    assert result.exit_code == 0, result.stderr
    first, second = contents(folder / "out"), contents(tmp_path / "again")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_a_cluster_draws_the_same_bytes(demo, tmp_path, nodes, monkeypatch):
    folder, _ = demo
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    shutil.copytree(folder / "out", tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "masks")

    result = call("masks", folder / "study.toml", "--out", tmp_path / "out", "--engine", "ray")

    assert result.exit_code == 0, result.stderr
    assert "up to date" not in result.stderr
    first, second = (contents(where / "out" / "masks") for where in (folder, tmp_path))
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_a_second_run_does_only_the_report(demo):
    folder, _ = demo

    result = call("run", folder / "study.toml")

    assert not [line for line in result.stderr.splitlines() if line.startswith("crowdqc ")]


def test_a_table_that_was_edited_is_made_again_before_masks_are_drawn(demo, tmp_path):
    folder, _ = demo
    out = tmp_path / "out"
    assert call("gate", folder / "study.toml", "--out", out).exit_code == 0
    with (out / "consensus.csv").open("a") as file:
        file.write("\n")

    result = call("fuse", folder / "study.toml", "--out", out, "--ask")

    assert result.exit_code == 0
    assert "consensus.csv: is not what 'crowdqc fuse' wrote" in result.stderr
    assert (out / "consensus.csv").read_bytes() == (folder / "out" / "consensus.csv").read_bytes()


def test_datasets_pass_the_check_of_nnunet(demo, capfd, monkeypatch):
    folder, _ = demo
    raw = folder / "out" / "nnUNet_raw"
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, str(raw))
    verify = pytest.importorskip("nnunetv2.experiment_planning.verify_dataset_integrity")

    for dataset in sorted(raw.iterdir()):
        verify.verify_dataset_integrity(str(dataset), 1)

    assert len(list(raw.iterdir())) == 2
    assert "Error" not in capfd.readouterr().out


def test_the_crowd_study(data, tmp_path, monkeypatch):
    monkeypatch.setenv("CROWDQC_DATA", str(data))
    out = tmp_path / "btcv"

    result = call("run", CONFIGS / "btcv.toml", "--out", out)

    assert result.exit_code == 3
    assert len(pd.read_csv(out / "boxes.csv")) == 1840
    completeness = pd.read_csv(out / "completeness.csv", dtype={"case": str})
    gaps = completeness.groupby("label")["n_gaps"].sum()
    assert gaps.to_dict() == {
        "aorta": 92,
        "liver": 53,
        "spleen": 12,
        "left_kidney": 6,
        "right_kidney": 6,
    }
    # reports/btcv.md
    states = completeness["state"].value_counts()
    assert states.to_dict() == {"partial": 47, "unread": 30, "complete": 19, "missing": 19}
    assert len(pd.read_csv(out / "todo.csv")) == 108
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    verdicts = [case["verdict"] for case in manifest["cases"]]
    assert [verdicts.count(v) for v in ("accept", "review", "reject")] == [1, 15, 7]
    named = {
        f.check for f in parse_findings((out / "agree.findings.jsonl").read_text(encoding="utf-8"))
    }
    assert named == {"edge-jump", "edge-outlier", "organ-unlike-others"}
    unread = completeness.groupby("case")["state"].agg(lambda state: (state == "unread").all())
    files = sorted((data / "btcv_crowd" / "prompt").iterdir())
    drawn = {path.name[3:7]: set() for path in files}
    for path in files:
        drawn[path.name[3:7]] |= {
            line.split()[0] for line in path.read_text(encoding="utf-8").splitlines()
        }
    assert set(unread[unread].index) == {case for case, found in drawn.items() if not found}
    missing = completeness[completeness["state"] == "missing"]["case"].unique()
    assert set(missing) == {case for case, found in drawn.items() if 0 < len(found) < 5}
    assert {"0010", "0023", "0024", "0026"} <= set(missing)
    measurements = pd.read_csv(out / "measurements.csv")
    assert measurements["why"].str.contains("no slice was read by two raters").any()
    assert (out / "report.html").is_file()


def test_real_photographs(data, tmp_path, monkeypatch):
    monkeypatch.setenv("CROWDQC_DATA", str(data))
    study = CONFIGS / "crowd_boxes_gold.toml"

    for name in ("check", "agree", "fuse"):
        assert call(name, study, "--out", tmp_path / "out").exit_code == 0

    assert len(pd.read_csv(tmp_path / "out" / "raters.csv")) == 169
    consensus = pd.read_csv(tmp_path / "out" / "consensus.csv")
    assert set(consensus["state"]) >= {"agreed", "no_consensus"}


def test_messy_boxes_of_real_workers(data, tmp_path, monkeypatch):
    """What is malformed is named and left out; the workers are ranked, with intervals."""
    monkeypatch.setenv("CROWDQC_DATA", str(data))
    out = tmp_path / "out"
    assert call("agree", CONFIGS / "mturk_pedestrians.toml", "--out", out).exit_code == 0

    raw = pd.read_csv(data / "mturk_pedestrians" / "worker_boxes.csv.gz")
    drawn = raw.dropna(subset=["x0"])
    size = drawn[["width", "height"]].to_numpy()
    low, high = drawn[["x0", "y0"]].to_numpy(), drawn[["x1", "y1"]].to_numpy()
    bad = ((high <= low) | (low < -1e-4 * size) | (high > size * (1 + 1e-4))).any(axis=1)
    found = [
        json.loads(line)
        for line in (out / "findings.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    rejected = [one for one in found if one["severity"] == "reject"]
    assert bad.sum() > 100
    assert len(rejected) == bad.sum()
    raters = pd.read_csv(out / "raters.csv").set_index("rater")
    assert set(raters.index) == set(raw["worker"])
    assert (raters["agreement_low"] <= raters["agreement"]).all()
    assert (raters["agreement"] <= raters["agreement_high"]).all()
    assert raters["reliability"].notna().all()
    assert raters.loc[raters["agreement"].idxmin(), "verdict"] != "accept"


def test_readers_of_two_scans_are_never_one_person(data, tmp_path, monkeypatch):
    monkeypatch.setenv("CROWDQC_DATA", str(data))
    study, _ = read_study(load_config(CONFIGS / "lidc.toml"))
    few = study.images["case"].unique()[:60]
    some = {
        name: table[table["case"].isin(few)]
        for name, table in (
            ("images", study.images), ("readings", study.readings), ("boxes", study.boxes)
        )
    }  # fmt: skip
    matched = match(dataclasses.replace(study, **some))
    found = assess_raters(matched, resampling=Resampling(n=0))

    people = some["readings"][["case", "rater"]].drop_duplicates()
    assert len(found.raters) == len(people) > 100
    assert set(found.raters["rater"]) == set(people["case"] + "/" + people["rater"])
    assert (found.raters["n_cases"] == 1).all()
    pairs = found.measurements.query("measure == 'pair_iou'")
    scans = pairs[["rater", "other"]].apply(lambda names: names.str.partition("/")[0])
    assert len(pairs) > 100
    assert (scans["rater"] == scans["other"]).all()


def test_a_real_ct_with_simulated_raters(data, tmp_path, monkeypatch):
    monkeypatch.setenv("CROWDQC_DATA", str(data))
    out = tmp_path / "ct"

    result = call("run", CONFIGS / "totalsegmentator.toml", "--out", out)

    assert result.exit_code in {0, 3}, result.stderr
    scores = pd.read_csv(out / "scores.csv")
    volumes = scores[scores["slice"].isna() & (scores["set"] == "filtered")]
    assert volumes["dice"].mean() > 0.8
    assert (out / "masks" / "totalsegmentator_ct.uncertainty.nii.gz").is_file()
