"""Pictures of a report for the documentation, one of each section.

``python -m tests.crowdqc.report.screenshots crowdqc-demo/out/report.html docs/images``
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from .browser import Page, browse, find_chromium

PLACE = """(() => {
  const box = document.querySelector(%r).getBoundingClientRect();
  return [box.left + scrollX, box.top + scrollY, box.width, box.height];
})()"""
TALLEST = 900
"""Height of a picture in px at most: a long table goes on in the report."""
TALLEST_MASKS = 520
"""The same for pictures of slices, which take more room in a file."""
MARGIN = 12
PARTS = {"cards": ".cards", "todo": "[data-table=todo]"}
"""Parts of sections that have a picture of their own, and where they are."""


def main(report: Path, folder: Path) -> None:
    """Write ``report.png`` and ``report-SECTION.png`` for the top and each section."""
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("chromium is not installed")
    with tempfile.TemporaryDirectory() as profile, browse(chromium, Path(profile)) as pipe:
        page = Page(pipe)
        page.open(report)
        (folder / "report.png").write_bytes(_shot(page, "body"))
        keys = page.run("[...document.querySelectorAll('section.part')].map((s) => s.id)")
        page.run("document.querySelectorAll('section.part').forEach((s) => s.scrollIntoView())")
        for key in ["top", *keys]:
            page.run(f"document.getElementById('{key}').scrollIntoView()")
            page.run("new Promise((done) => setTimeout(done, 700))")
            (folder / f"report-{key}.png").write_bytes(_shot(page, f"#{key}"))
        for name, selector in PARTS.items():
            (folder / f"report-{name}.png").write_bytes(_shot(page, selector))


def _shot(page: Page, selector: str) -> bytes:
    x, y, width, height = page.run(PLACE % selector)
    clip = {
        "x": max(x - MARGIN, 0),
        "y": max(y - MARGIN, 0),
        "width": width + 2 * MARGIN,
        "height": min(height, TALLEST_MASKS if selector == "#masks" else TALLEST) + 2 * MARGIN,
        "scale": 1,
    }
    answer = page.call(
        "Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True
    )
    return _small(base64.b64decode(answer["data"]), flat=selector != "#masks")


def _small(png: bytes, *, flat: bool) -> bytes:
    """The picture in few colours: a flat one keeps its pale lines, a photograph its bright ones."""
    method = Image.Quantize.MEDIANCUT if flat else Image.Quantize.FASTOCTREE
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture = picture.quantize(256, method=method, dither=Image.Dither.NONE)
    data = io.BytesIO()
    picture.save(data, "PNG", optimize=True)
    return data.getvalue()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
