"""The release's install command: pinned as the tests are, and each file known by its hash."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def pins(text):
    found = re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in found}


def test_what_a_release_installs_is_pinned_as_tested_and_hashed():
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "dependencies"
    ]
    pinned, tested = pins(text), pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))

    assert {re.match(r"[\w-]+", line)[0].lower() for line in wanted} <= pinned.keys()
    assert {name: tested[name] for name in pinned if name in tested} == {
        name: version for name, version in pinned.items() if name in tested
    }
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(pinned)
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)


def test_licences_are_free():
    done = subprocess.run(
        [sys.executable, ".ci/licences.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout


def test_the_conda_recipe_needs_what_the_package_needs():
    recipe = (ROOT / "packaging" / "conda" / "meta.yaml").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    run = recipe.partition("  run:\n")[2].partition("\ntest:")[0]
    needed = {line.strip("- ").replace(" ", "") for line in run.strip().splitlines()}

    assert needed == {*project["dependencies"], "python" + project["requires-python"]}
    version = (ROOT / "crowdqc" / "__init__.py").read_text(encoding="utf-8")
    assert re.search(r'version = "([^"]+)"', recipe)[1] in version
