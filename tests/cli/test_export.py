"""Exports of a study, as a user asks for them."""

import json

import pytest

from tests.commands import call


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "study"
    assert call("demo", folder).exit_code in {0, 3}
    return folder


def test_each_target_is_written_once_and_says_what_it_lacks(demo, tmp_path):
    for target in ("bids", "nrrd", "fiftyone", "croissant"):
        folder = tmp_path / target
        result = call("export", demo / "study.toml", folder, "--to", target, "--format", "json")
        assert result.exit_code == 0, result.stderr
        assert all(one["check"] == "export-lost" for one in json.loads(result.stdout))
        assert any(folder.rglob("*"))
        again = call("export", demo / "study.toml", folder, "--to", target)
        assert again.exit_code == 2
        assert "not an empty folder" in again.stderr


def test_a_series_is_needed_for_dicom(demo, tmp_path):
    result = call("export", demo / "study.toml", tmp_path / "seg", "--to", "dicom-seg")

    assert result.exit_code == 2
    assert "is no DICOM series" in result.stderr
    assert not (tmp_path / "seg").exists()


def test_results_that_are_out_of_date_are_not_exported(demo, tmp_path):
    study = demo / "study.toml"
    text = study.read_text(encoding="utf-8")
    study.write_text(text.replace("prompts = 16", "prompts = 3"), encoding="utf-8")
    try:
        result = call("export", study, tmp_path / "new", "--to", "nrrd")
    finally:
        study.write_text(text, encoding="utf-8")

    assert result.exit_code == 2
    assert "masks is out of date" in result.stderr


def test_multiqc_finds_the_verdict_on_each_case(demo):
    content = json.loads((demo / "out" / "multiqc_mqc.json").read_text(encoding="utf-8"))
    manifest = json.loads((demo / "out" / "manifest.json").read_text(encoding="utf-8"))

    assert content["plot_type"] == "table"
    assert set(content["headers"]) == {"verdict", "labels", "boxes", "reasons"}
    verdicts = {case: row["verdict"] for case, row in content["data"].items()}
    assert verdicts == {one["case"]: one["verdict"] for one in manifest["cases"]}
    assert sum(row["boxes"] for row in content["data"].values()) == len(manifest["prompts"])
