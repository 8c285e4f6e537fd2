"""Study files for the readers, made in a folder of their own."""

import json

import pytest

from crowdqc.config import load_config
from crowdqc.formats import read_study
from crowdqc.formats.guess import guess_study, render_study
from crowdqc.stages.images import known_images

LABELS = """
[study]
name = "s"
[labels]
0 = { name = "spleen", value = 1 }
1 = { name = "liver", value = 2 }
"""

ORGANS = """
[study]
name = "s"
[labels]
liver = { name = "liver", value = 1 }
spleen = { name = "spleen", value = 2 }
"""


@pytest.fixture
def make_config(tmp_path):
    """Write ``[annotations]`` (and more sections) as a study file, and load it."""

    def make(annotations, labels=LABELS):
        path = tmp_path / "study.toml"
        path.write_text(f"{labels}\n[annotations]\n{annotations}", encoding="utf-8")
        return load_config(path)

    return make


@pytest.fixture
def write(tmp_path):
    """Write a file below the folder of the study file."""

    def write(name, data):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


@pytest.fixture
def read(make_config, write):
    """Write files, and read them with ``[annotations]``."""

    def read(annotations, files, labels=ORGANS):
        for name, data in files.items():
            write(name, data if isinstance(data, str | bytes) else json.dumps(data))
        config = make_config(annotations, labels)
        return read_study(config, known_images(config))

    return read


@pytest.fixture
def start(write, tmp_path):
    """Write files, guess a study file, and read them with it."""

    def start(files, size="size = [100, 200]"):
        for name, data in files.items():
            write(name, data if isinstance(data, str | bytes) else json.dumps(data))
        guess = guess_study(tmp_path)
        text = render_study(guess, name="mine").replace("# size   = [512, 512]", size)
        write("study.toml", text)
        study, findings = read_study(load_config(tmp_path / "study.toml"))
        return study, findings, guess

    return start
