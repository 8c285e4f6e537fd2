"""Commands start soon: libraries that take long to import are imported by those that need them."""

import json
import subprocess
import sys

import pytest

from tests.studies import write_study

HEAVY = {
    *("scipy.stats", "scipy.optimize", "statsmodels", "nibabel", "skimage", "PIL", "plotly"),
    *("jinja2", "pydicom", "SimpleITK", "torch", "ray", "transformers", "starlette"),
}
SCIPY = {"scipy.stats", "scipy.optimize"}
RUN = """
import json, sys
from click.testing import CliRunner
from crowdqc.cli import main
for words in json.loads(sys.argv[1]):
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    print(json.dumps([words[0], done.exit_code, sorted(set(sys.modules) & set(sys.argv[2:]))]))
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """What is imported when commands have run one after the other, and their exit codes."""
    folder = tmp_path_factory.mktemp("study")
    box = "0 .3 .3 .2 .2\n1 .7 .7 .3 .3\n"
    file = write_study(folder, raters="ab", cases="12", slices=6, lines=lambda *_: box)
    stages = ("check", "complete", "agree", "fuse", "gate")
    commands = [
        ["check", "--help"],
        ["check"],
        *([stage, str(file), "--quiet"] for stage in stages),
    ]
    words = [sys.executable, "-c", RUN, json.dumps(commands), *HEAVY, "pandas", "pydantic"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_help_and_errors_of_usage_import_no_library_for_tables(imported):
    assert [one[1:] for one in imported[:2]] == [[0, []], [2, []]]


def test_stages_of_boxes_import_scipy_alone(imported):
    for name, code, found in imported[2:]:
        assert code in {0, 3}, name
        assert HEAVY & set(found) <= SCIPY, name


def test_the_page_of_a_review_and_work_packages_begin_without_readers_of_volumes():
    late = {"nibabel", "pydicom", "SimpleITK", "skimage.measure", "statsmodels", "plotly"}
    code = "import sys, crowdqc.review.open, crowdqc.stages.tasks; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "crowdqc.report" in done.stdout.split()
    assert late & set(done.stdout.split()) == set()
