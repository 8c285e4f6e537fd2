"""The crowd study, recomputed."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from crowdqc.cli import main
from crowdqc.paper import Published, judge, recompute


@pytest.fixture
def ours(data):
    return recompute(Path(data) / "btcv_crowd" / "results")


@pytest.mark.parametrize(
    ("quantity", "value"),
    [  # arXiv:2403.15218, as the project's design notes quote it
        ("BTCV nnU-Net: SAM 11 volumes, mean Dice", 0.80),
        ("BTCV nnU-Net: SAM 15 volumes, mean Dice", 0.77),
        ("BTCV nnU-Net: SAM 11 - SAM 15, p", 0.008),
    ],
)
def test_filtering_is_reproduced(ours, quantity, value):
    entries = [Published(quantity=quantity, value=value, source="notes")]

    table = judge(ours, entries).set_index("quantity")

    assert table.loc[quantity, "verdict"] == "match"


def test_a_wrong_value_is_a_mismatch(ours):
    name = "BTCV nnU-Net: SAM 11 volumes, mean Dice"

    table = judge(ours, [Published(quantity=name, value=0.85, source="made up")])

    assert set(table["verdict"]) == {"MISMATCH", "not found"}


def test_not_every_p_is_below_0_001(ours):
    p = ours.set_index("quantity")["ours"]

    assert p["MSD_Spleen nnU-Net: GT - SAM, p"] > 0.001


@pytest.mark.parametrize(
    "text", ["results = 3", "results = 'x'\nout = 'y'\nodd = 1", "results = ["]
)
def test_a_malformed_file_exits_2(tmp_path, text):
    path = tmp_path / "paper.toml"
    path.write_text(text)

    assert CliRunner().invoke(main, ["paper", str(path)]).exit_code == 2


def test_missing_scores_exit_2(tmp_path):
    path = tmp_path / "paper.toml"
    path.write_text("results = 'nowhere'\nout = 'out'\n")

    assert CliRunner().invoke(main, ["paper", str(path)]).exit_code == 2
