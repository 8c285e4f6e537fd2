"""How long the page of `crowdqc review` makes one wait, in a scripted browser; prints two lines.

    python benchmarks/review_page.py FOLDER

100 decisions by key at human pace on slices of 512 x 512 px, and a queue of 100,000 items. The
studies are made in FOLDER (some minutes) and used again. Needs Chromium.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from tests.crowdqc.report.browser import Page, browse, find_chromium
from tests.niftis import save
from tests.review.conftest import IMAGES, LABELS, READY
from tests.studies import write_boxes

COMMAND = [sys.executable, "-m", "crowdqc"]
NOTE = """window.waits = []; addEventListener('keydown', () => {
  const begun = performance.now(), place = location.hash;
  const note = () => waits.push(performance.now() - begun);
  const look = () => location.hash === place ? setTimeout(look, 1)
    : requestAnimationFrame(() => requestAnimationFrame(note));
  look();
}, true); 0"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    small = study(folder / "small", cases=3, slices=60, raters="abcde", images=True)
    big = study(folder / "big", cases=500, slices=200, raters="abc", images=False)
    (folder / "profile").mkdir(exist_ok=True)
    with browse(find_chromium(), folder / "profile") as pipe:
        page, process, seconds = opened(pipe, big)
        print(f"100,000 items: the first is shown {seconds:.2f} s after the address was opened")
        process.kill()
        page.close()
        (small.parent / "decisions.csv").unlink(missing_ok=True)
        page, process, _ = opened(pipe, small)
        decide(page)
        process.kill()


def study(folder, *, cases, slices, raters, images):
    """A study of some volumes, fused; as it is where it was made before."""
    file, rng = folder / "study.toml", np.random.default_rng(0)
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        n, parts = cases * slices, []
        for rater in raters:
            box = np.array([150.0, 150, 300, 320]) + rng.normal(0, 6, (n, 4))
            case = np.repeat(np.arange(cases), slices).astype(str)
            place = {"case": case, "slice": np.tile(np.arange(slices), cases)}
            edges = dict(zip(("x0", "y0", "x1", "y1"), box.T.round(1), strict=True))
            parts.append(pd.DataFrame({**place, "rater": rater, "label": "liver", **edges}))
        for case in range(cases if images else 0):
            save(folder / f"{case}.nii.gz", rng.normal(100, 30, (512, 512, slices)))
        write_boxes(folder, pd.concat(parts), text=LABELS + (IMAGES if images else ""))
    subprocess.run([*COMMAND, "fuse", "-q", file], check=True, stdout=subprocess.DEVNULL)
    return file


def opened(pipe, file):
    """The page of a study, the process that serves it, and the seconds until an item was shown."""
    words = [*COMMAND, "review", file, "--reviewer", "ann", "-q"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    page = Page(pipe)
    page.call("Network.clearBrowserCookies")
    address, begun = process.stdout.readline().strip(), time.monotonic()
    page.go(address)
    page.until(READY)
    return page, process, time.monotonic() - begun


def decide(page):
    """100 decisions, 0.8 s apart on average."""
    rng, begun = np.random.default_rng(1), time.monotonic()
    page.run(NOTE)
    for _ in range(100):
        page.type(str(rng.choice(list("aan12"))))
        page.run(f"new Promise((done) => setTimeout(done, {int(rng.gamma(4, 200))}))")
    waits = np.array(page.run("waits"))
    low, high = np.quantile(waits, [0.5, 0.95])
    print(
        f"{len(waits)} decisions in {time.monotonic() - begun:.0f} s: the next item is shown after "
        f"{low:.0f} ms (median), {high:.0f} ms (95th percentile), {waits.max():.0f} ms at most"
    )


if __name__ == "__main__":
    main()
