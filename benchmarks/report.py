"""How large the report of a large study is, and how long a browser works on it.

    python -m benchmarks.report --cases 300 --raters 8

The study is synthetic (five organs). Its pictures are noise, which no PNG makes smaller, with round
masks. Times are CPU seconds of this process, and of the page's main thread as Chromium counts them
(`Performance.getMetrics` with thread ticks), so that other programs on the machine count little.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crowdqc.report import gather, render
from tests.crowdqc.report.browser import Page, browse, find_chromium
from tests.crowdqc.report.results_folder import Spec, write_results

STEPS = {
    "open, charts below not drawn yet": "1",
    "sort the raters": "document.querySelector('[data-table=raters] thead button').click()",
    "sort the work list": "document.querySelector('[data-table=todo] thead button').click()",
    "filter the work list": (
        "(() => { const s = document.querySelector('[data-table=todo] [data-search]');"
        "s.value = '0150'; s.dispatchEvent(new Event('input')); })()"
    ),
    "only cases to finish": (
        "(() => { const s = document.querySelector('[data-matrix-state]');"
        "s.value = 'todo'; s.dispatchEvent(new Event('input')); })()"
    ),
    "list of one cell": "document.querySelector('[data-cell=\"0,4\"]').click()",
    "draw every chart": (
        "document.getElementById('details').close();dispatchEvent(new Event('beforeprint'))"
    ),
}
"""What is done with the page -> the script that does it."""


class Noise:
    """Slices of noise with a round mask: the largest pictures that a page could hold."""

    shape = (400, 512)

    def grey(self, case: str, k: int) -> NDArray[np.uint8]:
        """A slice of noise."""
        return np.random.default_rng([int(case), k]).integers(0, 256, self.shape, dtype=np.uint8)

    def mask(self, case: str, k: int, label: str) -> NDArray[np.bool_]:  # noqa: ARG002
        """A disc."""
        return self.doubt(case, k) < 0.5

    def doubt(self, case: str, k: int) -> NDArray[np.float64]:  # noqa: ARG002
        """Distance from the middle of the slice, 1 in its corners."""
        rows, columns = (np.linspace(-1, 1, n) for n in self.shape)
        return np.hypot(*np.meshgrid(columns, rows)) / np.sqrt(2)


def main() -> None:
    """Print a table of sizes and times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--raters", type=int, default=8)
    parser.add_argument("--findings", type=int, default=5000)
    options = parser.parse_args()
    names = ("careless", "shifted", "skipping", *(f"rater{k}" for k in range(4, 99)))
    spec = Spec(n_cases=options.cases, raters=names[: options.raters], n_findings=options.findings)
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder), spec)
        open_page(path, Path(folder))


def make(folder: Path, spec: Spec) -> Path:
    """The report of a made study; prints its size and the CPU time."""
    store = write_results(folder / "out", spec)
    before = time.process_time()
    content = gather(store, look=Noise())
    between = time.process_time()
    text = render(content)
    seconds = (between - before, time.process_time() - between)
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")
    runs = len(store.read("completeness"))
    say(
        f"{spec.n_cases} cases, {len(spec.labels)} organs, {len(spec.raters)} raters: {runs:,} runs"
    )
    bare = len(render(gather(store), charts=False).encode())
    size = path.stat().st_size
    say(f"size {size / 1e6:.2f} MB; without pictures and charts {bare / 1e6:.2f} MB")
    say(f"CPU seconds: read and arrange {seconds[0]:.2f}, render {seconds[1]:.2f}")
    return path


def open_page(path: Path, folder: Path) -> None:
    """Open the page and use it; prints the CPU seconds of its main thread for each step."""
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("chromium is not installed")
    with browse(chromium, folder) as pipe:
        page = Page(pipe)
        page.call("Performance.enable", timeDomain="threadTicks")
        page.open(path)
        last = 0.0
        for what, script in STEPS.items():
            page.run(f"{script}; new Promise((done) => setTimeout(done, 1500))")
            metrics = {
                m["name"]: m["value"] for m in page.call("Performance.getMetrics")["metrics"]
            }
            say(f"{what}: {metrics['TaskDuration'] - last:.2f} s")
            last = metrics["TaskDuration"]
        say(
            f"{metrics['Nodes']:,.0f} nodes, {metrics['JSHeapUsedSize'] / 1e6:.0f} MB of JavaScript"
        )
        if page.logged:
            say(f"console: {page.logged}")


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
