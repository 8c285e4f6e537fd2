"""Study files and policies that are made to harm: they end soon, in little memory, and say why."""

import os
import resource
import subprocess
import sys
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowdqc.config import load_config
from crowdqc.config.toml import PARTS_MAX, read_toml
from crowdqc.findings import InputError
from crowdqc.judge import load_policy

STUDY = """[study]
name = "s"
[labels]
0 = { name = "spleen", value = 1 }
[annotations]
format = "yolo"
path = "{case}-{slice}.txt"
rater = "r"
"""
DEEP = "a." * 40_000 + "a"
BOMBS = {
    "key": f"{DEEP} = 1",
    "header": f"[{DEEP}]",
    "array": f"[[ {DEEP.replace('.', ' . ')} ]]",
    "quoted": '"a".' * 20_000 + "a = 1",
    "inline": f"x = {{ {DEEP} = 1 }}",
    "after a text": f'x = {{ y = """a"""", {DEEP} = 1, z = "b" }}',
    "after a literal": f"x = {{ y = '''a'''', {DEEP} = 1, z = 'b' }}",
    "after a comment": f'x = 1 # """\n{DEEP} = 1 # """',
    "many": "\n".join("a." * 90 + f"k{n} = 1" for n in range(4_000)),
    "nesting": "x = " + "[" * 900_000,
    "escapes": 'x = "' + '\\"' * 400_000,
    "long escapes": 'x = """' + '\\"""' * 240_000,
    "size": "#" * 1_000_001,
}
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
from pathlib import Path
from crowdqc.config.toml import read_toml
from crowdqc.findings import InputError
try:
    read_toml(Path(sys.argv[1]))
except InputError as error:
    sys.exit(0 if len(str(error)) < 1000 else "a long message")
sys.exit("was read")
"""


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_takes_neither_memory_nor_time(tmp_path, name):
    path = tmp_path / "study.toml"
    path.write_text(BOMBS[name])

    done = subprocess.run(
        [sys.executable, "-c", LIMITED, path], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.parametrize(
    "text",
    [
        'uid = "' + ".".join("1" * 60) + '"',
        "floats = [" + "1.5, " * 500 + "]",
        "# " + "see. " * 100,
        'why = """\n' + "a.b" * 100 + '\n"""',
        ".".join("a" * PARTS_MAX) + " = 1",
    ],
)
def test_what_only_looks_like_a_long_key_is_read(tmp_path, text):
    path = tmp_path / "study.toml"
    path.write_text(text)

    assert read_toml(path) == tomllib.loads(text)


@given(st.text("ab.\"'#\\= \n", max_size=60))
def test_reading_agrees_with_the_parser_on_whatever_has_short_keys(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("x") / "a.toml"
    path.write_text(text)
    try:
        expected = tomllib.loads(text)
    except ValueError:
        with pytest.raises(InputError):
            read_toml(path)
        return

    if text.count(".") < PARTS_MAX:
        assert read_toml(path) == expected


def test_thirty_thousand_labels_are_refused_soon_and_a_study_may_allow_more(tmp_path):
    labels = "".join(f'{n} = {{ name = "l{n}", value = {n + 1} }}\n' for n in range(1, 15_000))
    text = STUDY.replace("[annotations]", labels + "[annotations]")
    path = tmp_path / "study.toml"
    path.write_text(text)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime

    with pytest.raises(InputError, match=r"more than 1000\. .*set \[limits\] labels"):
        load_config(path)
    path.write_text(text + "[limits]\nlabels = 20000\n")
    assert len(load_config(path).labels) == 15_000

    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 20


@pytest.mark.parametrize("name", ["CROWDQC_KEY", "AWS_SECRET_ACCESS_KEY", "gh_token", "PGPASSWORD"])
def test_no_path_takes_the_value_of_a_secret(tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, "hunter2hunter2hunter2")
    (tmp_path / "study.toml").write_text(STUDY)
    config = load_config(tmp_path / "study.toml")

    with pytest.raises(InputError, match="may be a secret") as refused:
        config.resolve(f"${{{name}}}/{{case}}.txt")

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", ["MONKEY_DATA", "PWD", "AUTHORS", "DATA"])
def test_a_path_takes_the_value_of_a_folder(tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / "study.toml").write_text(STUDY)

    found = load_config(tmp_path / "study.toml").resolve(f"${{{name}}}/a.txt")

    assert found == tmp_path / "a.txt"


@pytest.mark.parametrize("read", [load_config, load_policy])
def test_a_study_or_a_policy_is_a_regular_file(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")

    for name in ("pipe", "zero", ""):
        with pytest.raises(InputError, match="not a regular file"):
            read(tmp_path / name)


@pytest.mark.parametrize("key", ["name", "address"])
def test_a_study_file_names_no_machine(tmp_path, key, monkeypatch):
    monkeypatch.setenv("SECRET", "s3cret")
    path = tmp_path / "study.toml"
    path.write_text(STUDY + f'[engine]\n{key} = "ray://${{SECRET}}.evil.example:10001"\n')

    with pytest.raises(InputError, match=f"'{key}' may not stand in a study file") as caught:
        load_config(path)
    assert "s3cret" not in str(caught.value)
