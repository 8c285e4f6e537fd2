"""A folder of results to report on, and a browser to read the report with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crowdqc.store import Store

from .browser import Page, Pipe, browse, find_chromium
from .results_folder import Spec, write_results


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Results of all stages of a small study. Read only."""
    return write_results(tmp_path_factory.mktemp("results") / "out", Spec())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a test may write results of its own."""
    return tmp_path / "out"


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipe]:
    """A headless browser."""
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("chromium is not installed")
    with browse(chromium, tmp_path_factory.mktemp("profile")) as pipe:
        yield pipe


@pytest.fixture
def page(browser: Pipe) -> Iterator[Page]:
    """An empty page."""
    page = Page(browser)
    yield page
    page.close()
