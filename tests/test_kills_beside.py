"""What commands write beside the study file, killed anywhere: history, packages, what came back."""

import shutil

import numpy as np
import pytest

from benchmarks import crash_commands
from benchmarks.crash import contents, in_child
from tests.commands import call
from tests.crowdqc.packages.raters import work_on, write_study

KILLS = 3


@pytest.fixture(scope="module")
def rounds(tmp_path_factory):
    """The study before each command, and the words of that command."""
    place = tmp_path_factory.mktemp("rounds")
    study = write_study(place / "study")
    befores, package = {}, study.parent / "packages" / "round2" / "large"
    for name in ("run", "tasks", "receive"):
        if name == "receive":
            shutil.copytree(package, study.parent / "back")
            work_on(study.parent / "back")
        befores[name] = shutil.copytree(study.parent, place / name)
        assert call(*words_of(name, study.parent)).exit_code in {0, 3}
    return befores


def words_of(name, folder):
    more = {"tasks": ("--rater", "large"), "receive": (folder / "back",)}
    return (name, folder / "study.toml", *more.get(name, ()))


def beside(folder):
    """What lies beside the study file, with its results apart."""
    files = contents(folder).items()
    return {name: data for name, data in files if not name.startswith("out/")}


@pytest.mark.parametrize("name", ["run", "tasks", "receive"])
def test_a_command_that_was_killed_leaves_whole_files_and_is_run_again(rounds, tmp_path, name):
    before = beside(rounds[name])
    whole, counter = shutil.copytree(rounds[name], tmp_path / "whole"), tmp_path / "moments"
    in_child(lambda: call(*words_of(name, whole)), counter=counter, out=whole)
    after, rng = beside(whole), np.random.default_rng(0)
    assert after.keys() > before.keys()

    for limit in rng.integers(1, int(counter.read_text(encoding="utf-8")) + 1, KILLS).tolist():
        folder = shutil.copytree(rounds[name], tmp_path / "killed")

        assert in_child(lambda: call(*words_of(name, folder)), limit=limit, out=folder)  # noqa: B023

        left = {n: data for n, data in beside(folder).items() if "/.part-" not in f"/{n}"}
        assert left in (before, after), f"half a result after moment {limit}"
        call(*words_of(name, folder))
        again = beside(folder)
        assert {n: again.get(n) for n in after} == after
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return crash_commands.prepare(tmp_path_factory.mktemp("finished") / "study")


@pytest.mark.parametrize("name", ["audit", "export nrrd"])
def test_a_command_on_finished_results_that_was_killed_ends_with_the_same_bytes(finished, name):
    assert crash_commands.survive(name, finished, np.random.default_rng(1), kills=1) > 1
