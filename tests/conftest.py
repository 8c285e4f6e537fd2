"""Fixtures that every test may use."""

import os
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("crowdqc", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("crowdqc")


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory):
    """The tests' own key and hashes, not those of whoever runs them."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the real data: CROWDQC_DATA, else ``../shared/data`` beside the checkout."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CROWDQC_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"real data: {folder} is not there (set CROWDQC_DATA)")
    return folder


@pytest.fixture(scope="session")
def nodes():
    """A Ray cluster of two nodes with one core each."""
    from tests.ray_nodes import Nodes

    nodes = Nodes()
    yield nodes
    nodes.stop()
