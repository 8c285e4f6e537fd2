"""Names and objects that packages register, and what is refused."""

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from crowdqc import plugins
from crowdqc.findings import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def registered(monkeypatch):
    def register(*entries):
        listed = [EntryPoint(name, value, "crowdqc.fusion") for name, value in entries]
        monkeypatch.setattr(plugins, "entry_points", lambda **_: listed)
        plugins._registered.cache_clear()

    yield register
    plugins._registered.cache_clear()


def test_names_are_known_without_an_import(registered):
    registered(("b", "no_such_module:x"), ("a", "statistics:median"))

    assert plugins.names("crowdqc.fusion") == ["a", "b"]
    assert plugins.load("crowdqc.fusion", "a")([1, 2, 9]) == 2


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([("median", "statistics:median")], r"must be one of median; got 'medain'. Did you mean"),
        ([("medain", "statistics:a"), ("medain", "math:b")], "by several packages: statistics:a"),
        ([("medain", "no_such_module:x")], "cannot be imported from no_such_module:x"),
        ([("medain", "statistics:no_such")], "cannot be imported from statistics:no_such"),
    ],
    ids=["unknown", "twice", "no module", "no attribute"],
)
def test_what_cannot_be_loaded_is_refused(registered, entries, says):
    registered(*entries)

    with pytest.raises(InputError, match=says):
        plugins.load("crowdqc.fusion", "medain")


@pytest.mark.parametrize("words", [["fuse", "--help"], ["convert", "--help"]])
def test_an_installation_that_is_older_than_the_code_is_told(tmp_path, words):
    metadata = tmp_path / "crowdqc-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: crowdqc\nVersion: 0.1.0\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}

    done = subprocess.run(
        [sys.executable, "-m", "crowdqc", *words],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "the installed crowdqc is older than this code" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_one_package_that_is_listed_twice_counts_once(registered):
    registered(("median", "statistics:median"), ("median", "statistics:median"))

    assert plugins.load("crowdqc.fusion", "median")([1, 2, 9]) == 2


def test_a_fault_in_a_package_of_others_is_told_from_one_of_ours(registered):
    registered(("median", "statistics:median"))

    with pytest.raises(ValueError, match="no median") as caught:
        plugins.load("crowdqc.fusion", "median")([])

    assert "'median' of 'crowdqc." in plugins.blamed(caught.value)
    assert plugins.blamed(ValueError("ours")) == ""
