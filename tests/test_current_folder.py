"""A program that is started in a stranger's folder takes no module from there."""

import os
import subprocess
import sys

import pytest

MODULES = ["typing", "json", "click", "numpy", "pandas", "random", "difflib", "yaml", "samgen"]


@pytest.mark.parametrize("words", [["--version"], ["check", "study.toml"], ["run", "study.toml"]])
def test_python_m_crowdqc_imports_nothing_from_the_current_folder(tmp_path, words):
    for name in MODULES:
        (tmp_path / f"{name}.py").write_text(
            "open('ran', 'a').write(__name__)\nraise SystemExit(9)"
        )
    (tmp_path / "study.toml").write_text("x = 1\n")
    variables = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONSAFEPATH"}}

    done = subprocess.run(
        [sys.executable, "-m", "crowdqc", *words],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )

    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text(encoding="utf-8")
    assert done.returncode == (0 if words == ["--version"] else 2), done.stderr
