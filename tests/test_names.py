"""Names that other programs take for something else are names like all others."""

import json

import pandas as pd
import pytest

from crowdqc.csv_files import read_csv
from crowdqc.findings import InputError
from crowdqc.stages.risk import _read_scores
from crowdqc.store import Store
from tests.commands import call
from tests.studies import write_study

NAMES = ["NA", "nan", "None", "null", "0001", "1e5", "True"]


@pytest.mark.parametrize("name", NAMES)
def test_the_verdict_on_a_mask_reaches_its_label_whatever_its_case_is_called(tmp_path, name):
    draw = lambda rater, *_: f"0 .3 {'.3' if rater == 'a' else '.302'} .2 .2\n"  # noqa: E731
    study = write_study(tmp_path, raters="abc", slices=5, lines=draw, cases=(name,))
    assert call("gate", study).exit_code in {0, 3}
    risk = pd.DataFrame({"case": [name], "slice": [2], "label": ["spleen"], "risk": [0.95]})
    store = Store.found(tmp_path / "out")
    store.write("risk", risk)
    store.set_stamp("risk", "", ["risk.csv"], needs=("fuse",))
    store.release()

    call("gate", study)

    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    (case,) = manifest["cases"]
    assert case["case"] == name
    assert case["labels"]["spleen"]["verdict"] == "review"
    assert manifest["units"]["mask"]


@pytest.mark.parametrize("name", NAMES)
def test_scores_of_any_case_are_read(tmp_path, name):
    path = tmp_path / "scores.csv"
    path.write_text(f"case,slice,label,dice\n{name},1,{name},0.5\n{name},2,{name},NA\n")

    assert _read_scores(path)[["case", "slice", "label"]].to_numpy().tolist() == [[name, 1, name]]


def test_text_is_kept_and_only_numbers_may_be_missing(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("name,dice\nNA,NA\n,0.25\n007,nan\n")

    table = read_csv(path, text=["name"])

    assert table["name"].tolist() == ["NA", "", "007"]
    assert table["dice"].isna().tolist() == [True, False, True]


@pytest.mark.parametrize("data", [b"", b'"', b"\xff\xfe", b"a,b\n1,2,3,4\n"])
def test_what_is_no_table_is_refused_by_name(tmp_path, data):
    path = tmp_path / "a.csv"
    path.write_bytes(data)

    with pytest.raises(InputError, match=r"a\.csv: "):
        read_csv(path, text=["a"])
