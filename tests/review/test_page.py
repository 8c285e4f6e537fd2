"""The page in a real browser: drawing, keys, undo, two windows, reload, and what is saved."""

from pathlib import Path

import pytest

from crowdqc.decisions import append_decisions, decisions_file
from crowdqc.schema import BOX
from tests.crowdqc.report.browser import Page
from tests.review.conftest import CANVAS, LABELS, READY, canvas, write
from tests.studies import write_boxes

REPORT = Path(__file__).parents[1] / "crowdqc" / "report"
ACCESS = (REPORT / "access.js").read_text(encoding="utf-8")
CONTRAST = (REPORT / "contrast.js").read_text(encoding="utf-8")


def text(page, name):
    return page.run(f"document.getElementById('{name}').textContent")


def saved(page, site, n):
    """Wait until so many decisions are on the disk, and the page has gone on."""
    for _ in range(100):
        if len(site.decisions) >= n:
            break
        page.run("new Promise((done) => setTimeout(done, 30))")
    page.run("new Promise((done) => setTimeout(done, 150))")
    return site.decisions


def test_the_most_disputed_box_is_asked_first_without_errors(page, reviewed):
    site = reviewed()

    assert text(page, "place") == "liver: case 1, slice 5"
    assert "of 5 raters agree with it" in text(page, "why")
    assert "0 of 8 decided" in text(page, "progress")
    assert page.logged == []
    assert {url.split("?")[0].rsplit("/", 1)[0] for url in page.requests if "data:" not in url} >= {
        site.root
    }
    assert all(url.startswith((site.root, "data:")) for url in page.requests)


def test_keys_decide_and_undo(page, reviewed):
    site = reviewed()
    first = site.session.item(0)

    page.type("a")
    assert saved(page, site, 1)["decision"].tolist() == ["accept"]
    page.type("n")
    saved(page, site, 2)
    page.type("1")
    saved(page, site, 3)
    page.type("s")
    table = saved(page, site, 4)

    assert table["decision"].tolist() == ["accept", "nothing", "rater", "skip"]
    assert table[BOX].iloc[0].tolist() == pytest.approx(first["box"], abs=0.01)
    assert table["rater"].iloc[2] == "a"
    assert table["inputs"].iloc[0] == first["inputs"]
    assert (table["seconds"] > 0).all()
    page.type("u")
    page.until("document.getElementById('decided').hidden")
    assert saved(page, site, 5)["decision"].iloc[-1] == "undo"
    assert "3 of 8 decided" in text(page, "progress")


def test_a_fused_box_is_graded_as_it_is(page, reviewed):
    site = reviewed()
    first = site.session.item(0)

    page.type("w")
    saved(page, site, 1)
    page.type("g")
    table = saved(page, site, 2)

    assert table[["decision", "unit", "grade"]].to_numpy().tolist() == [
        ["grade", "box", "bad"],
        ["grade", "box", "good"],
    ]
    assert table[BOX].iloc[0].tolist() == pytest.approx(first["box"], abs=0.01)
    assert table["object"].notna().all()
    assert table["inputs"].iloc[0] == first["inputs"]
    assert "box good" in page.run("document.getElementById('message').textContent")
    assert "2 of 8 decided" in text(page, "progress")


def test_a_box_is_drawn_with_the_mouse_and_moved_with_keys(page, reviewed):
    site = reviewed()
    middle = page.run(
        "(() => { const r = document.getElementById('slice').getBoundingClientRect();"
        "return [r.left + r.width / 2, r.top + r.height / 2]; })()"
    )

    page.drag((middle[0] - 100, middle[1] - 80), (middle[0] + 60, middle[1] + 90))
    page.type("ArrowRight")
    page.type("ArrowDown", 8)
    page.type("Enter")

    row = saved(page, site, 1).iloc[0]
    assert row["decision"] == "draw"
    assert 0 <= row["x0"] < row["x1"] <= 100
    width, height = row["x1"] - row["x0"], row["y1"] - row["y0"]
    assert (height - 1) / width == pytest.approx(170 / 160, rel=0.03)


def test_a_corner_is_dragged(page, reviewed):
    site = reviewed()
    x0, y0, x1, y1 = site.session.item(0)["box"]
    page.type("e")
    corner = page.run(
        "(() => { const c = document.getElementById('slice'), r = c.getBoundingClientRect();"
        "return [r.left, r.top, r.width, r.height]; })()"
    )
    boxes = [one["box"] for one in site.session.item(0)["boxes"]] + [[x0, y0, x1, y1]]
    near = [b for b in boxes if b[0] < x1 and b[2] > x0 and b[1] < y1 and b[3] > y0]
    low = [min(b[i] for b in near) for i in (0, 1)]
    high = [max(b[i] for b in near) for i in (2, 3)]
    room = max(high[0] - low[0], high[1] - low[1], 24) * 0.6
    scale = min(
        corner[2] / (high[0] - low[0] + 2 * room), corner[3] / (high[1] - low[1] + 2 * room), 24
    )
    at = [
        corner[i] + corner[2 + i] / 2 + (value - (low[i] + high[i]) / 2) * scale
        for i, value in enumerate((x1, y1))
    ]

    page.drag(tuple(at), (at[0] + 5 * scale, at[1] + 3 * scale))
    page.type("Enter")

    row = saved(page, site, 1).iloc[0]
    assert row[BOX].tolist() == pytest.approx([x0, y0, x1 + 5, y1 + 3], abs=0.1)


def test_another_label_is_two_rows_and_one_undo(page, reviewed):
    site = reviewed()

    page.type("l")
    page.type("1")
    table = saved(page, site, 2)
    page.type("u")
    page.until("document.getElementById('message').textContent === 'Taken back.'")
    after = saved(page, site, 4)

    assert table[["decision", "label"]].to_numpy().tolist() == [
        ["relabel", "liver"],
        ["draw", "spleen"],
    ]
    assert after["label"].tolist()[2:] == ["liver", "spleen"]
    assert site.session.progress()["done"] == 0


def test_slices_are_turned_and_the_decision_is_on_the_slice_asked_about(page, reviewed):
    site = reviewed()

    page.type("ArrowDown")
    page.until("document.getElementById('where').textContent.startsWith('slice 6')")
    page.call("Input.dispatchMouseEvent", type="mouseWheel", x=300, y=300, deltaX=0, deltaY=-300)
    page.until("document.getElementById('where').textContent.startsWith('slice 5 of 0 to 7')")
    page.type("ArrowUp")
    page.type("a")

    assert saved(page, site, 1)["slice"].tolist() == [5]


def test_two_windows_do_not_overwrite_each_other(page, reviewed, chromium):
    site = reviewed()
    other = Page(chromium)
    other.go(f"{site.root}/#item=0")
    other.until(READY)

    page.type("a")
    saved(page, site, 1)
    other.type("n")
    other.until("document.getElementById('message').textContent.includes('another window')")

    other.until("!document.getElementById('decided').hidden")
    assert site.decisions["decision"].tolist() == ["accept"]
    assert "Decided: fused box accepted." in text(other, "decided")
    other.type("n")
    assert saved(other, site, 2)["decision"].tolist() == ["accept", "nothing"]
    other.close()


def test_another_program_may_decide_in_between(page, reviewed):
    site = reviewed()
    row = {"decision": "nothing", "unit": "box", "case": "1", "slice": 5, "label": "liver"}

    append_decisions(decisions_file(site.config), [{**row, "object": 0, "reviewer": "ann"}])
    page.type("a")
    page.until("document.getElementById('message').classList.contains('bad')")

    assert site.decisions["decision"].tolist() == ["nothing"]


def test_a_reload_goes_on_where_it_was(page, reviewed):
    site = reviewed()
    page.type("a")
    saved(page, site, 1)
    here = text(page, "place")

    page.go(f"{site.root}/")
    page.until(READY)

    assert text(page, "place") == here
    assert "1 of 8 decided" in text(page, "progress")


def test_a_server_that_is_gone_is_said_and_nothing_is_lost(page, reviewed):
    site = reviewed()
    page.type("a")
    saved(page, site, 1)

    site.stop()
    page.type("n")
    page.until("document.getElementById('message').textContent.startsWith('Not saved')")

    assert len(site.decisions) == 1
    assert "slice" in text(page, "place")


def test_a_full_disk_is_said(page, reviewed, monkeypatch):
    site = reviewed()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    page.type("a")
    page.until("document.getElementById('message').textContent.includes('not saved: No space')")

    assert len(site.decisions) == 0


def test_all_decided_says_so(page, reviewed, tmp_path):
    site = reviewed(write(tmp_path, slices=2))
    page.type("a")
    saved(page, site, 1)
    page.type("a")
    page.until("document.getElementById('message').textContent.startsWith('All of this queue')")

    assert not page.run("document.getElementById('stop').hidden")


def test_of_a_sample_every_item_counts_so_that_nobody_may_stop(page, reviewed, tmp_path):
    site = reviewed(write(tmp_path, slices=4), order="random")

    assert page.run("document.getElementById('stop').hidden")
    assert "0 of 4 decided; 4 worth it" in page.run(
        "document.getElementById('progress').textContent"
    )
    for n in range(4):
        page.type("a")
        saved(page, site, n + 1)
    page.until("!document.getElementById('stop').hidden")
    assert (
        page.run("document.getElementById('stop').textContent") == "All of this queue is decided."
    )


def test_looking_only_offers_nothing_to_save(page, reviewed):
    site = reviewed(read_only=True)

    page.type("a")

    assert page.run("document.querySelectorAll('#actions button').length") == 0
    assert len(site.decisions) == 0
    page.type("?")
    keys = page.run("[...document.querySelectorAll('#key-list dd')].map((d) => d.textContent)")
    assert "Accept the fused box" not in keys
    assert "slices" in keys


def test_names_are_hidden_from_a_blind_reviewer(page, reviewed):
    reviewed(blind=True)

    names = page.run("[...document.querySelectorAll('#raters label')].map((l) => l.textContent)")
    assert names == [f"rater {n}" for n in range(1, 6)]


def test_boxes_of_other_labels_can_be_hidden(page, reviewed, tmp_path):
    both = [("1", 0, rater, label, 20, 20, 50, 50 + k)
            for rater in "abc" for k, label in enumerate(["liver", "spleen"])]  # fmt: skip
    reviewed(write_boxes(tmp_path, both, text=LABELS))

    before = canvas(page)
    page.type("x")
    page.until(f"({CANVAS}) !== {before!r}")
    page.type("x")
    page.until(f"({CANVAS}) === {before!r}")
    assert page.logged == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everything_can_be_read_and_reached(page, reviewed, dark):
    page.call(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
    )
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=1280,
        height=720,
        deviceScaleFactor=1,
        mobile=False,
    )
    reviewed()

    assert page.run(ACCESS) == []
    assert page.run(CONTRAST) == []
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    lowest = page.run(
        "Math.max(...[...document.querySelectorAll('#actions button')]"
        ".map((b) => b.getBoundingClientRect().bottom))"
    )
    assert lowest < 720


def test_without_images_boxes_lie_on_grey(page, reviewed, tmp_path):
    reviewed(write(tmp_path, images=False))

    grey = page.run(
        "[...document.getElementById('slice').getContext('2d').getImageData("
        "document.getElementById('slice').width / 2, document.getElementById('slice').height / 2, "
        "1, 1).data]"
    )
    assert grey[:3] == [58, 63, 70]
    assert page.run("document.getElementById('planes').hidden")
    assert page.logged == []


def test_the_other_planes_are_drawn(page, reviewed):
    reviewed()

    page.until("document.querySelector('[data-view=across]').width > 10")
    assert not page.run("document.getElementById('planes').hidden")
    assert page.logged == []


@pytest.mark.parametrize(("width", "least"), [(1280, 700), (390, 380)])
def test_the_slice_has_room_on_a_narrow_screen_too(page, reviewed, width, least):
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=800, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip
    reviewed()

    canvas_of = "document.getElementById('slice')"
    size = page.run(f"[{canvas_of}.clientWidth, {canvas_of}.clientHeight]")

    assert size[0] >= least
    assert size[1] >= 400
    assert page.run("document.documentElement.scrollWidth") <= width
