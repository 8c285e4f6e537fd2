"""Results that others edited or made: noticed, made again, and never accepted unasked."""

import json
import os
import shutil

import numpy as np
import pytest

from crowdqc import trust
from crowdqc.findings import InputError
from crowdqc.store import Store
from tests.commands import call
from tests.studies import write_study


@pytest.fixture
def bad(tmp_path):
    """A study that the gate rejects, with its results."""
    study = write_study(tmp_path, raters="ab", slices=12, lines=draw)
    assert call("gate", study).exit_code == 3
    return study


def draw(rater, _, k):
    return f"0 .{3 if rater == 'a' else 7} .{30 + k} .2 .2\n"


def draw_well(rater, _, k):
    rng = np.random.default_rng([ord(rater), k])
    at = [value + rng.uniform(-0.004, 0.004) for value in (0.5 + 0.003 * k, 0.5, 0.3, 0.3)]
    return "0 " + " ".join(f"{value:.4f}" for value in at) + "\n" if 2 <= k <= 9 else ""


@pytest.fixture
def good(tmp_path):
    """A study that the gate does not reject, with its results."""
    study = write_study(tmp_path, raters="abc", slices=12, lines=draw_well)
    study.with_name("policy.toml").write_text(POLICY)
    text = study.read_text(encoding="utf-8").replace('1 = { name = "liver", value = 2 }\n', "")
    study.write_text(text + '[gate]\npolicy = "policy.toml"\n')
    assert call("run", study).exit_code == 0
    return study


POLICY = """[[rules]]
scope = "label"
measure = "n_slices"
op = "<"
limit = 1
severity = "reject"
because = "a label needs slices"
"""


@pytest.fixture
def elsewhere(monkeypatch):
    """Another user, who does not have our key."""

    def become():
        monkeypatch.setenv("CROWDQC_KEY", "quite another key than before")

    return become


def accepted(manifest):
    """The manifest as someone would like it."""
    record = json.loads(manifest.read_text(encoding="utf-8"))
    record["verdict"], record["reasons"] = "accept", []
    for case in record["cases"]:
        case |= {"verdict": "accept", "reasons": []}
        case["labels"] = {n: {"verdict": "accept", "reasons": []} for n in case["labels"]}
    return json.dumps(record)


# Edited results ---------------------------------------------------------------------------------


def test_a_verdict_edited_in_the_manifest_changes_neither_exit_code_nor_page(bad):
    manifest = bad.parent / "out" / "manifest.json"
    before = manifest.read_bytes()
    manifest.write_text(accepted(manifest))

    result = call("run", bad)

    assert result.exit_code == 3
    assert "manifest.json: is not what 'crowdqc gate' wrote" in result.stderr
    assert manifest.read_bytes() == before


@pytest.mark.parametrize("command", ["report", "gate", "run"])
def test_an_edited_table_is_made_again_before_it_is_shown(bad, command):
    call("run", bad)
    raters = bad.parent / "out" / "raters.csv"
    before = raters.read_bytes()
    raters.write_bytes(before.replace(b"reject", b"accept").replace(b"review", b"accept") + b"\n")

    result = call(command, bad)

    assert "raters.csv: is not what 'crowdqc agree' wrote" in result.stderr
    assert raters.read_bytes() == before


def test_a_file_of_the_same_size_and_time_is_known_by_its_content(good):
    table = good.parent / "out" / "completeness.csv"
    stat, text = table.stat(), table.read_text(encoding="utf-8")
    table.write_text(text.replace("complete", "missing!", 1))

    os.utime(table, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    result = call("gate", good)

    assert "completeness.csv: is not what" in result.stderr
    assert table.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("size", [10, 100_000])
def test_an_input_edited_behind_its_size_and_time_is_read_again(good, size):
    """Small ones by their content, large ones by their inode's time."""

    box = good.parent / "boxes" / "a" / "1-5.txt"
    box.write_text(box.read_text(encoding="utf-8") * (1 if size == 10 else 5000))
    call("check", good)
    call("check", good)
    stat = box.stat()
    box.write_text(box.read_text(encoding="utf-8").replace("0 0.5", "0 0.4", 1))
    os.utime(box, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    assert "crowdqc check ..." in call("fuse", good).stderr
    assert "crowdqc check ..." not in call("fuse", good).stderr


# Results of others ------------------------------------------------------------------------------


def test_results_of_another_are_accepted_only_on_request(good, elsewhere):
    elsewhere()

    refused = call("run", good)

    assert refused.exit_code == 3
    assert "were not made by you on this machine" in refused.stderr
    page = (good.parent / "out" / "report.html").read_text(encoding="utf-8")
    assert "Not made by this user on this machine" in page
    assert call("gate", good).exit_code == 3
    trusted = call("gate", good, "--trust-results")
    assert trusted.exit_code == 0
    assert "were not made" not in trusted.stderr
    assert call("run", good).exit_code == 0


def test_fresh_results_are_ones_own(good, elsewhere):
    elsewhere()

    result = call("gate", good, "--fresh")

    assert result.exit_code == 0
    assert "crowdqc check ..." in result.stderr
    assert "were not made" not in result.stderr


def test_who_edits_a_result_and_its_stamp_is_not_believed(bad, elsewhere, monkeypatch):
    out = bad.parent / "out"
    elsewhere()
    store = Store(out, "tiny")
    raters = store.path("raters.csv")
    store.write_text("raters.csv", raters.read_text(encoding="utf-8").replace("reject", "accept"))
    store.set_stamp("agree", store.stamp_of("agree"), ["raters.csv"])
    store.release()
    monkeypatch.delenv("CROWDQC_KEY")

    result = call("gate", bad)

    assert result.exit_code == 3
    assert "Results of agree were not made by you" in result.stderr


def test_what_was_edited_is_not_taken_on_trust(bad, elsewhere):
    elsewhere()
    raters = bad.parent / "out" / "raters.csv"
    before = raters.read_bytes()
    raters.write_bytes(before + b"\n")

    assert "is not what 'crowdqc agree' wrote" in call("gate", bad, "--trust-results").stderr
    assert raters.read_bytes() == before


def test_a_study_that_was_moved_stays_up_to_date_and_ones_own(good, tmp_path):
    there = shutil.copytree(good.parent, tmp_path / "moved")

    result = call("run", there / "study.toml")

    assert result.exit_code == 0
    assert "crowdqc check ..." not in result.stderr
    assert "were not made" not in result.stderr


def test_two_users_write_the_same_bytes_but_for_the_signatures(good, tmp_path, elsewhere):
    elsewhere()
    call("run", good, "--out", tmp_path / "again")

    for path in (good.parent / "out").rglob("*"):
        other = tmp_path / "again" / path.relative_to(good.parent / "out")
        if path.is_file() and path.name != "crowdqc.json":
            assert other.read_bytes() == path.read_bytes(), path


# Keys -------------------------------------------------------------------------------------------


def test_a_key_is_made_once_and_is_nobody_elses(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("CROWDQC_KEY", raising=False)
    trust._own_key.cache_clear()
    first = trust.key()
    trust._own_key.cache_clear()

    assert trust.key() == first
    assert (tmp_path / "crowdqc" / "key").stat().st_mode & 0o077 == 0
    assert len(first) == 32
    trust._own_key.cache_clear()


def test_without_a_place_for_a_key_one_process_trusts_itself(tmp_path, monkeypatch):
    (tmp_path / "crowdqc").write_text("in the way")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("CROWDQC_KEY", raising=False)
    trust._own_key.cache_clear()

    assert trust.is_signed([1], trust.sign([1]))
    trust._own_key.cache_clear()


def test_a_key_that_may_be_guessed_is_refused(monkeypatch):
    monkeypatch.setenv("CROWDQC_KEY", "short")

    with pytest.raises(InputError, match="at least 16 characters"):
        trust.key()
