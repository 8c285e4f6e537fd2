"""The pages of docs/howto, run as they stand on a study of five raters with a fault each."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.commands import call
from tests.crowdqc.packages.raters import draw, work_on, write_study, yolo

PAGES = sorted((Path(__file__).parents[1] / "docs" / "howto").glob("*.md"))
WORKS = re.compile(r"# (\w+) draws in ([\w-]+)")
REJECTED = {"run", "gate", "agree"}
"""Commands that may end with exit code 3: the study has faults."""


def lines(page):
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for line in block.splitlines():
            works = WORKS.fullmatch(line.strip())
            words = shlex.split(line, comments=True)
            if works or words:
                yield works, words


def run_line(works, words):
    if works:
        work_on(Path(works[2]))
    elif words[0] == "cp":
        shutil.copytree(words[2], words[3])
    else:
        assert words[0] == "crowdqc", words
        result = call(*words[1:])
        allowed = {0, 3} if words[1] in REJECTED else {0}
        assert result.exit_code in allowed, (words, result.output)
        return result.stdout
    return ""


SAYS = {
    "weekly-check": "redrawn cases",
    "second-round": "better",
    "joins-late": "zoe",
    "someone-copies": "rater",
    "ci-gate": "Changed since",
    "slurm": "submit.sh",
}
"""Page -> what its last commands show."""


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem in SAYS], ids=sorted(SAYS))
def test_a_page_does_what_it_says(page, tmp_path, monkeypatch):
    study = write_study(tmp_path / "study")
    monkeypatch.chdir(study.parent)
    if page.stem == "weekly-check":  # a week before, one rater had drawn less
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795132800")
        call("run", "study.toml")
        for k in range(12):
            path = Path("boxes") / "swaps" / f"c1-slice{k:03d}.txt"
            path.write_text(yolo(draw("swaps", "c1", k, mended=True)), encoding="utf-8")
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795737600")

    shown = [run_line(*line) for line in lines(page)]

    assert SAYS[page.stem] in "".join(shown[-2:])


def test_the_pages_are_in_the_table_of_contents():
    index = (PAGES[0].parents[1] / "index.md").read_text(encoding="utf-8")

    assert all(f"howto/{page.stem}" in index for page in PAGES)
