"""A study to review, its page on a port of this machine, and a browser that looks at it."""

import itertools
import threading
import time

import numpy as np
import pytest
import uvicorn

from crowdqc.decisions import read_decisions
from crowdqc.review.open import open_review
from crowdqc.review.server import Guard, addresses, bind, make_app
from crowdqc.stages.pipeline import open_run
from tests.crowdqc.report.browser import Page, browse, find_chromium
from tests.niftis import save
from tests.studies import TABLE, write_boxes

IMAGES = """[images]
path = "{case}.nii.gz"
picture = "identity"
window = { level = 100, width = 200 }
"""
LABELS = TABLE.replace(
    '1 = { name = "liver", value = 1 }',
    '1 = { name = "liver", value = 1 }\n2 = { name = "spleen", value = 2 }',
)


def write(folder, *, images=True, slices=8):
    """Five raters, one case of some slices, an organ; on slice 5 two of them draw elsewhere."""
    rng = np.random.default_rng(0)
    rows = []
    for k, rater in itertools.product(range(slices), "abcde"):
        left = 20.0 if k != 5 or rater in "abc" else 60.0
        box = np.round(np.array([left, 20, left + 30, 50]) + rng.normal(0, 1, 4), 1)
        rows.append(("1", k, rater, "liver", *box))
    if images:
        volume = np.zeros((100, 120, slices))
        volume[20:50, 20:50] = 150
        save(folder / "1.nii.gz", volume)
    return write_boxes(folder, rows, text=LABELS + (IMAGES if images else ""))


class Site:
    """A page that is served by a thread of this process."""

    def __init__(self, study, **words):
        options = {"order": "disagreement", "rater": None, "reviewer": "ann"}
        run = open_run(study, say=lambda _: None)
        self.session = open_review(run, **{**options, **words})
        self.config = run.config
        self.listener = bind("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.guard = Guard(addresses("127.0.0.1", self.port))
        self.root = f"http://127.0.0.1:{self.port}"
        self.address = f"{self.root}/?token={self.guard.token}"
        app = make_app(self.session, self.guard)
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        sockets = {"sockets": [self.listener]}
        self._thread = threading.Thread(target=self._server.run, kwargs=sockets, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    @property
    def decisions(self):
        return read_decisions(self.config)

    def stop(self):
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture
def site(tmp_path):
    """Starts a page; all end with the test."""
    started = []

    def start(study=None, **words):
        started.append(Site(study or write(tmp_path), **words))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    found = find_chromium()
    if found is None:
        pytest.skip("no Chromium")
    with browse(found, tmp_path_factory.mktemp("profile")) as pipe:
        yield pipe


@pytest.fixture
def page(chromium):
    opened = Page(chromium)
    opened.call("Network.clearBrowserCookies")
    yield opened
    opened.close()


READY = "performance.getEntriesByName('ready').length > 0"


@pytest.fixture
def reviewed(site, page):
    """Open the page of a site in the browser."""

    def start(*study, **words):
        one = site(*study, **words)
        page.go(one.address)
        page.until(READY)
        return one

    return start


CANVAS = "document.getElementById('slice').toDataURL()"


def canvas(page):
    """All that is drawn, once the page is at rest."""
    page.run("new Promise((done) => setTimeout(done, 200))")
    return page.run(CANVAS)


def press(page, key, n):
    """Decide by a key, and wait until that is the n-th decision and the next item is there."""
    before = page.run("location.hash")
    page.type(key)
    done = f"document.getElementById('progress').textContent.startsWith('{n} of')"
    last = "document.getElementById('message').textContent.startsWith('All of this queue')"
    page.until(f"{done} && (location.hash !== {before!r} || {last})")
