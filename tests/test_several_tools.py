"""The path of docs/howto/several-tools.md: three tools, three formats, one study."""

import pandas as pd
import pytest

from tests.commands import call

TOOLS = {"anna": "cvat", "ben": "labelstudio", "cleo": "yolo"}
KEY = ["case", "slice", "rater", "label"]
BOX = ["x0", "y0", "x1", "y1"]
STUDY = """
[study]
name = "source"
[labels]
liver = { name = "liver", value = 1 }
spleen = { name = "spleen", value = 2 }
[annotations]
format = "table"
path = "boxes.csv"
columns = { COLUMNS }
size = [100, 120]
"""


@pytest.fixture
def drawn():
    rows = [
        (f"{case:02d}", k, rater, label, 10.0 + 5 * n + k, 12.0 + n, 40.0 + 5 * n, 44.5 + n)
        for case in (1, 2)
        for k in range(3)
        for n, rater in enumerate(TOOLS)
        for label in ("liver", "spleen")
    ]
    return pd.DataFrame(rows, columns=[*KEY, *BOX])


def test_exports_of_three_tools_become_one_study(tmp_path, drawn):
    for rater, tool in TOOLS.items():
        source = tmp_path / "source" / rater
        source.mkdir(parents=True)
        drawn[drawn["rater"] == rater].to_csv(source / "boxes.csv", index=False)
        columns = ", ".join(f'{name} = "{name}"' for name in drawn.columns)
        (source / "study.toml").write_text(STUDY.replace("COLUMNS", columns), encoding="utf-8")
        assert call("convert", source / "study.toml", tmp_path / tool, "--to", tool).exit_code == 0
        if tool != "yolo":  # as a tool would hand it in, without our study file
            (tmp_path / tool / "study.toml").unlink()
            assert call("init", tmp_path / tool).exit_code == 0
        written = call(
            "convert", tmp_path / tool / "study.toml", tmp_path / "all" / rater, "--to", "table"
        )
        assert written.exit_code == 0, written.output
    assert call("init", tmp_path / "all").exit_code == 0

    found = call("run", tmp_path / "all" / "study.toml")

    assert found.exit_code in {0, 3}, found.output
    again = call("check", tmp_path / "all" / "study.toml")  # history.csv lies beside by now
    assert again.exit_code == 0, again.output
    joined = pd.read_csv(tmp_path / "all" / "out" / "boxes.csv", dtype={"case": str}).sort_values(
        KEY
    )
    assert joined[KEY].to_numpy().tolist() == drawn.sort_values(KEY)[KEY].to_numpy().tolist()
    assert abs(joined[BOX].to_numpy() - drawn.sort_values(KEY)[BOX].to_numpy()).max() < 1e-3


def test_what_stays_beside_a_study_is_never_read_as_annotations(tmp_path, drawn):
    columns = ", ".join(f'{name} = "{name}"' for name in drawn.columns)
    drawn.to_csv(tmp_path / "anna.csv", index=False)
    text = STUDY.replace("COLUMNS", columns).replace("boxes.csv", "*.csv")
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    for name in ("history.csv", "assignments.csv", "decisions.csv"):
        (tmp_path / name).write_text("date,inputs\n", encoding="utf-8")

    found = call("check", tmp_path / "study.toml")

    assert found.exit_code == 0, found.output
    assert "36 boxes of 3 raters in 18 readings of 2 cases; 1 finding." in found.stderr


def test_init_names_what_it_does_not_read(tmp_path, drawn):
    source = tmp_path / "source"
    source.mkdir()
    drawn.to_csv(source / "boxes.csv", index=False)
    columns = ", ".join(f'{name} = "{name}"' for name in drawn.columns)
    (source / "study.toml").write_text(STUDY.replace("COLUMNS", columns), encoding="utf-8")
    mixed = tmp_path / "mixed"
    for tool in TOOLS.values():
        call("convert", source / "study.toml", mixed / tool, "--to", tool)
        (mixed / tool / "study.toml").unlink()

    (mixed / "yolo" / "data.yaml").unlink()

    found = call("init", mixed)

    assert "3 files of another format, CVAT for images XML" in found.stderr
    assert "1 file of another format, Label Studio" in found.stderr
    assert "docs/howto/several-tools.md" in found.stderr
    assert "slice0" not in (mixed / "study.toml").read_text(encoding="utf-8")
    assert "No class list names all ids" in found.stderr


def test_init_of_a_file_says_what_it_wants(tmp_path):
    (tmp_path / "boxes.csv").write_text("case\n", encoding="utf-8")

    found = call("init", tmp_path / "boxes.csv")

    assert found.exit_code == 2
    assert "is a file; give the folder that holds it" in found.stderr
