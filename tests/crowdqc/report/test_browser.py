"""The report in a real browser: it runs without errors, asks nobody, and does what it offers."""

import json
import re
from pathlib import Path

import pytest

from crowdqc.report import gather, render
from crowdqc.store import Store

from .browser import Page
from .results_folder import Spec, reason, write_results

HOSTILE = "<script>alert(1)</script>"
ACCESS = (Path(__file__).parent / "access.js").read_text(encoding="utf-8")
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
ROWS = "[...document.querySelectorAll('[data-table={}] tbody tr')]"


@pytest.fixture
def report(store: Store, tmp_path: Path) -> Path:
    """Without charts, which only cost time where they are not looked at."""
    path = tmp_path / "report.html"
    path.write_text(render(gather(store), charts=False), encoding="utf-8")
    return path


@pytest.fixture
def charted(store: Store, tmp_path: Path) -> Path:
    path = tmp_path / "charted.html"
    path.write_text(render(gather(store)), encoding="utf-8")
    return path


def first_column(page: Page, table: str) -> list[str]:
    return page.run(ROWS.format(table) + ".map(tr => tr.cells[0].textContent.trim())")


def test_it_opens_without_errors_and_asks_nobody(page: Page, charted: Path):
    page.open(charted)
    n = page.run("document.querySelectorAll('[data-chart]').length")

    page.until(f"document.querySelectorAll('.js-plotly-plot .main-svg').length >= {n}")

    assert n == 3
    assert page.logged == []
    asked = {url.split(":")[0] for url in page.requests}
    assert asked <= {"file", "data", "about"}
    assert [url for url in page.requests if url.startswith("file")] == [charted.as_uri()]


def test_nothing_hinders_a_screen_reader_or_the_keyboard(page: Page, folder: Path, tmp_path: Path):
    path = tmp_path / "report.html"
    spec = Spec(n_findings=350, stages=(*Spec().stages, "train"))
    path.write_text(render(gather(write_results(folder, spec))), encoding="utf-8")
    page.open(path)

    assert page.run(ACCESS) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_what_lies_behind(page: Page, report: Path, scheme: str):
    # WCAG 2.2, 1.4.3: a contrast of 4.5 for text, counted from the colours as the page has them.
    page.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )
    page.open(report)

    weak = page.run(CONTRAST)

    assert weak == []


def test_the_work_list_of_one_rater(page: Page, report: Path):
    page.open(report)

    page.run(
        "(() => { const s = document.querySelector('[data-table=todo] select');"
        "s.value = 'skipping'; s.dispatchEvent(new Event('input')); })()"
    )

    assert set(first_column(page, "todo")) == {"skipping"}


def test_reasons_are_open_on_paper(page: Page, folder: Path, tmp_path: Path):
    path = tmp_path / "report.html"
    store = write_results(folder, Spec())
    manifest = json.loads(store.path("manifest.json").read_text(encoding="utf-8"))
    manifest["raters"][2]["reasons"] = [reason("one"), reason("two")]
    store.write_text("manifest.json", json.dumps(manifest))
    path.write_text(render(gather(store), charts=False), encoding="utf-8")
    page.open(path)
    closed = "document.querySelectorAll(':is(td details, .whys):not([open])').length"

    before = page.run(closed)
    page.run("dispatchEvent(new Event('beforeprint'))")

    assert before == 3  # of careless at the gate, in the table of raters and on the card
    assert page.run(closed) == 0


def test_raters_are_sorted_by_a_click(page: Page, report: Path):
    page.open(report)
    head = "[data-table=raters] thead th:nth-child(4)"

    page.run(f"document.querySelector('{head} button').click()")
    up = page.run(ROWS.format("raters") + ".map(tr => Number(tr.cells[3].dataset.v))")
    page.run(f"document.querySelector('{head} button').click()")
    down = page.run(ROWS.format("raters") + ".map(tr => Number(tr.cells[3].dataset.v))")

    assert up == sorted(up)
    assert down == up[::-1]
    assert len(set(up)) > 1
    assert page.run(f"document.querySelector('{head}').ariaSort") == "descending"


def test_a_table_is_copied_as_it_is_chosen_with_intervals(page: Page, report: Path):
    page.open(report)
    page.run(
        "window.given = {}; DataTransfer.prototype.setData = (type, text) => { given[type] = text }"
    )
    choose = "document.querySelector('[data-table=raters] [data-choose]')"
    page.run(f"{choose}.value = 'reject', {choose}.dispatchEvent(new Event('input'))")
    page.run("document.querySelector('[data-table=raters] [data-copy]').focus()")

    page.press("Enter")
    given = page.run("window.given")
    rows = [line.split("\t") for line in given["text/plain"].split("\n")]

    assert rows[0][:4] == ["Rater", "Verdict", "Why", "Agreement"]
    assert [row[:2] for row in rows[1:]] == [["careless", "reject"], ["skipping", "reject"]]
    assert re.fullmatch(r"0\.\d\d \(0\.\d\d to 0\.\d\d\)", rows[1][3])
    assert given["text/html"].count("<tr>") == len(rows)
    assert page.run("document.querySelector('[data-table=raters] .shown').textContent") == (
        "2 rows copied."
    )


def test_what_is_copied_is_no_formula_and_has_plain_minus_signs(page: Page, folder: Path):
    raters = ("=1+1", "@b", "c", "-2+3", "'=x", "-4")
    report = folder / "report.html"
    html = render(gather(write_results(folder, Spec(raters=raters))), charts=False)
    report.write_text(html, encoding="utf-8")
    page.open(report)
    page.run(
        "window.given = {}; DataTransfer.prototype.setData = (type, text) => { given[type] = text }"
    )
    page.run("document.querySelector('[data-table=raters] [data-copy]').focus()")

    page.press("Enter")
    rows = [line.split("\t") for line in page.run("given['text/plain']").split("\n")]

    assert sorted(row[0] for row in rows[1:]) == ["''=x", "'-2+3", "'=1+1", "'@b", "-4", "c"]
    assert "\u2212" not in page.run("given['text/plain']")


def test_charts_fit_the_paper(page: Page, charted: Path):
    page.open(charted)

    page.run("dispatchEvent(new Event('beforeprint'))")
    widths = page.run("[...document.querySelectorAll('.main-svg')].map((s) => s.clientWidth)")

    assert widths
    assert max(widths) <= 688  # A4 less margins of 14 mm


def test_raters_are_sorted_from_the_keyboard(page: Page, report: Path):
    page.open(report)
    page.run("document.querySelector('[data-table=raters] thead button').focus()")

    page.press("Enter")

    assert first_column(page, "raters") == sorted(first_column(page, "raters"))


def test_raters_are_chosen_by_verdict(page: Page, report: Path):
    page.open(report)

    page.run(
        "(() => { const s = document.querySelector('[data-table=raters] select');"
        "s.value = 'reject'; s.dispatchEvent(new Event('input')); })()"
    )

    assert set(first_column(page, "raters")) == {"careless", "skipping"}


def test_findings_are_searched(page: Page, folder: Path, tmp_path: Path):
    path = tmp_path / "report.html"
    store = write_results(folder, Spec(n_findings=350, stages=("check",)))
    path.write_text(render(gather(store), charts=False), encoding="utf-8")
    page.open(path)
    shown = "document.querySelector('[data-table=findings] .shown').textContent"
    search = "document.querySelector('[data-table=findings] [data-search]')"

    before = len(first_column(page, "findings"))
    page.run("document.querySelector('[data-table=findings] [data-more]').click()")
    after = len(first_column(page, "findings"))
    page.run(
        f"(() => {{ {search}.value = 'img0349'; {search}.dispatchEvent(new Event('input')); }})()"
    )

    assert (before, after) == (100, 350)
    assert len(first_column(page, "findings")) == 1
    assert page.run(shown) == "1 of 1 matching rows shown."
    assert page.logged == []


def test_a_cell_of_the_matrix_opens_its_list(page: Page, report: Path):
    page.open(report)
    page.run("document.querySelector('[data-cell=\"0,4\"]').focus()")

    page.press("Enter")

    assert page.run("document.getElementById('details').open")
    assert page.run("document.getElementById('details-title').textContent").startswith("0001, ")
    assert page.run("document.querySelectorAll('#details tbody tr').length") == 5
    page.press("Escape")
    page.until("!document.getElementById('details').open")


def test_only_cases_to_finish(page: Page, folder: Path, tmp_path: Path):
    path = tmp_path / "report.html"
    spec = Spec(n_cases=9, raters=("amy",), labels=("liver",))
    path.write_text(render(gather(write_results(folder, spec)), charts=False), encoding="utf-8")
    page.open(path)
    rows = "[...document.querySelectorAll('[data-matrix] tbody tr')].filter(tr => !tr.hidden)"
    complete = page.run(f"{rows}.filter(tr => tr.dataset.state === 'complete').length")

    page.run(
        "(() => { const s = document.querySelector('[data-matrix-state]');"
        "s.value = 'todo'; s.dispatchEvent(new Event('input')); })()"
    )

    assert complete > 0
    assert page.run(f"{rows}.length") == 9 - complete


def test_three_hundred_cases_stay_usable(page: Page, folder: Path, tmp_path: Path):
    path = tmp_path / "report.html"
    raters = ("careless", "shifted", "skipping", "d", "e", "f", "g", "h")
    store = write_results(folder, Spec(n_cases=300, raters=raters, n_findings=1000))
    path.write_text(render(gather(store), charts=False), encoding="utf-8")
    page.open(path)
    shown = "document.querySelector('[data-table=todo] .shown').textContent"
    search = "document.querySelector('[data-table=todo] [data-search]')"

    page.run(
        f"(() => {{ {search}.value = '0150'; {search}.dispatchEvent(new Event('input')); }})()"
    )
    page.run("document.querySelector('[data-cell=\"299,0\"]').click()")

    assert path.stat().st_size < 5_000_000  # with plotly it is 5 MB more
    tasks = store.read("todo").head(1000)  # as many as the page holds
    assert page.run(shown).startswith(f"{(tasks['case'] == '0150').sum()} of ")
    assert page.run("document.getElementById('details-title').textContent").startswith("0300, ")
    assert page.logged == []


def test_layers_of_pictures_are_switched(page: Page, report: Path):
    page.open(report)
    visible = "getComputedStyle(document.querySelector('.l-boxes')).display !== 'none'"

    before = page.run(visible)
    page.run("document.querySelector('[data-layer=boxes]').click()")

    assert before
    assert not page.run(visible)


def test_names_that_are_code_do_nothing(page: Page, folder: Path, tmp_path: Path):
    path = tmp_path / "report.html"
    names = (
        HOSTILE,
        "</script><img src=x onerror=alert(2)>",
        "'\"><svg onload=alert(3)>",
        "{{7*7}}",
    )
    spec = Spec(raters=names, n_findings=250)
    store = write_results(folder, spec)
    path.write_text(render(gather(store)), encoding="utf-8")

    page.open(path)
    page.run("dispatchEvent(new Event('beforeprint'))")
    page.run("document.querySelector('[data-table=findings] [data-more]').click()")
    page.run("document.querySelector('[data-cell=\"0,0\"]').click()")

    assert page.dialogs == []
    assert page.logged == []
    assert page.run("document.querySelectorAll('img').length") == 0
    assert set(first_column(page, "raters")) == set(names)
    assert HOSTILE in page.run("document.querySelector('#details tbody').textContent")


def test_a_script_that_got_into_the_page_would_not_run(page: Page, report: Path):
    text = report.read_text(encoding="utf-8")
    report.write_text(text.replace("</main>", f"{HOSTILE}</main>"), encoding="utf-8")

    page.open(report)

    assert page.dialogs == []
    assert any("Content Security Policy" in line for line in page.logged)


def test_the_dark_face_is_dark(page: Page, report: Path):
    page.open(report)
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.run(colour)

    page.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}]
    )

    assert light == "rgb(255, 255, 255)"
    assert page.run(colour) == "rgb(20, 23, 27)"


@pytest.mark.parametrize("width", [1280, 700, 380])
def test_nothing_sticks_out(page: Page, report: Path, width: int):
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=900, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip
    page.open(report)

    assert page.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [1280, 380])
def test_long_names_stay_within_page_and_cards(page: Page, folder: Path, width: int):
    labels = ("superior_mesenteric_artery_and_all_of_its_branches", "spleen")
    raters = tuple(f"somebody.with.a.name.{k}@hospital-of-a-town.example.org" for k in range(4))
    path = folder.parent / "long.html"
    path.write_text(
        render(gather(write_results(folder, Spec(labels=labels, raters=raters))), charts=False),
        encoding="utf-8",
    )
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=900, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip
    page.open(path)
    wide = "[...document.querySelectorAll('.card')].filter(c => c.scrollWidth > c.clientWidth)"

    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run(wide + ".length") == 0


def test_tables_fit_a_usual_screen(page: Page, report: Path):
    page.call(
        "Emulation.setDeviceMetricsOverride",
        width=1440, height=900, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip
    page.open(report)

    wide = page.run(
        "[...document.querySelectorAll('[data-table] .scroll')]"
        ".filter(s => !s.closest('details') && s.scrollWidth > s.clientWidth)"
        ".map(s => s.closest('[data-table]').dataset.table)"
    )

    assert wide == []


def test_a_picture_opens_into_a_viewer_with_an_address(page: Page, report: Path):
    page.open(report)
    n = page.run("document.querySelectorAll('[data-enlarge]').length")

    page.run("document.querySelector('[data-enlarge]').click()")
    page.until("document.querySelector('#viewer canvas').width > 400")
    title = page.run("document.getElementById('viewer-title').textContent")
    page.run("document.querySelector('#viewer [data-raters] button').click()")
    link = page.run("location.hash")
    page.type("ArrowRight")

    assert n > 1
    assert link.startswith("#view=")
    assert link.count("/") == 1
    assert page.run("document.getElementById('viewer-title').textContent") != title
    page.run("document.getElementById('viewer').close()")
    page.run(f"location.hash = {json.dumps(link)}")
    page.until(f"document.getElementById('viewer-title').textContent === {json.dumps(title)}")
    assert page.run("document.querySelector('#viewer [aria-pressed=true]') !== null")
    assert page.logged == []


def test_an_address_of_nothing_opens_nothing(page: Page, report: Path):
    page.open(report)
    for link in ("#view=%E0%A4%A", "#view=x", "#view=", "#view=a/b/c"):
        page.run(f"location.hash = {json.dumps(link)}")
        assert not page.run("document.getElementById('viewer').open")
    assert page.logged == []
