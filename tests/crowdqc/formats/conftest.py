"""Study files for the readers, made in a folder of their own."""

import pytest

from crowdqc.config import load_config

LABELS = """
[study]
name = "s"
[labels]
0 = { name = "spleen", value = 1 }
1 = { name = "liver", value = 2 }
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
