"""The content of a report in forms other than a page: Markdown, JSON, CSV.

All of them hold what the page holds, apart from drawings, pictures and charts.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crowdqc.report.content import ReportContent, ReportSection, Table
from crowdqc.report.render import cell
from crowdqc.text import spreadsheet_cell, visible

FORMAT_VERSION = 1
"""Version of the layout of the JSON."""

_MARKDOWN = str.maketrans(
    {char: f"\\{char}" for char in "\\`*_[]|"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
)


def to_markdown(content: ReportContent) -> str:
    """The report as one Markdown document, numbers written as the page writes them.

    Parameters
    ----------
    content : ReportContent
        From `crowdqc.report.gather`.

    Returns
    -------
    str
        Headings, sentences and pipe tables. Every text of a user is escaped.
    """
    lines = [f"# {_text(content.study)}: {_text(content.headline)}", "", _text(content.lead), ""]
    lines += [part for notice in content.notices for part in (f"**{_text(notice)}**", "")]
    lines += ["## Next", ""]
    lines += [
        f"{place}. **{_text(step.what)}** {_text(step.why)}"
        for place, step in enumerate(content.steps, 1)
    ]
    lines += ["", *_pipes(("", "", ""), [_fact(fact) for fact in _facts(content)], "lrl")]
    for section in content.sections:
        lines += _section(section)
    lines += [f"Made by crowdqc {content.version}."]
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    """A text that means nothing to Markdown, HTML or a terminal, on one line."""
    return visible(" ".join(text.split())).translate(_MARKDOWN)


def _fact(fact: dict[str, str]) -> list[str]:
    whole = f" of {fact['whole']}" if fact["whole"] else ""
    return [_text(fact["title"]), _text(fact["value"] + whole), _text(fact["note"])]


def _section(section: ReportSection) -> list[str]:
    lines = [f"## {_text(section.title)}", ""]
    if section.notice:
        lines += [f"**{_text(section.notice)}**", ""]
    if section.lead:
        lines += [" ".join(map(_text, section.lead)), ""]
    if section.missing:
        lines += [f"{_text(section.remedy)}Run `crowdqc {section.missing} STUDY.toml`.".strip(), ""]
    for table in section.tables:
        lines += _table(table)
    return lines


def _table(table: Table) -> list[str]:
    titles = [_text(column.title) for column in table.columns]
    rows = [
        [_text(cell(value, column)) for value, column in zip(row, table.columns, strict=True)]
        for row in table.rows
    ]
    sides = "".join("r" if column.numeric else "l" for column in table.columns)
    lines = [f"### {_text(table.caption)}", "", *_pipes(titles, rows, sides)]
    if table.n_left_out:
        lines += [f"And {table.n_left_out:,} more.", ""]
    return lines


def _pipes(titles: Sequence[str], rows: Iterable[Sequence[str]], sides: str) -> list[str]:
    rules = ["---:" if side == "r" else "---" for side in sides]
    return [*(f"| {' | '.join(row)} |" for row in (titles, rules, *rows)), ""]


def to_json(content: ReportContent) -> str:
    """The report as one JSON object: what is not known is ``null``, an interval three fields."""
    record = {
        "format_version": FORMAT_VERSION,
        "crowdqc": content.version,
        "study": content.study,
        "verdict": content.verdict or None,
        "headline": content.headline,
        "lead": content.lead,
        "notices": list(content.notices),
        "next": _steps(content),
        "facts": _facts(content),
        "sections": [_section_record(section) for section in content.sections],
    }
    return json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _section_record(section: ReportSection) -> dict[str, Any]:
    return {
        "key": section.key,
        "title": section.title,
        "status": section.status or None,
        "notice": section.notice or None,
        "lead": list(section.lead),
        "missing": section.missing or None,
        "tables": [_table_record(table) for table in section.tables],
    }


def _table_record(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "caption": table.caption,
        "left_out": table.n_left_out,
        "rows": list(table.records()),
    }


def to_csv(content: ReportContent) -> dict[str, str]:
    """The report as CSV: name of a file -> its text.

    Returns
    -------
    dict of str
        ``next.csv``, ``facts.csv``, and ``TABLE.csv`` for each table that has rows. Texts are
        guarded by `crowdqc.text.spreadsheet_cell`: these tables are for people.
    """
    files: dict[str, Sequence[Mapping[str, Any]]]
    files = {"next.csv": _steps(content), "facts.csv": _facts(content)}
    for section in content.sections:
        for table in section.tables:
            files[f"{table.name}.csv"] = list(table.records())
    return {name: _csv(records) for name, records in files.items() if records}


def _steps(content: ReportContent) -> list[dict[str, str]]:
    return [
        {"what": step.what, "why": step.why, "section": step.section, "status": step.status}
        for step in content.steps
    ]


def _facts(content: ReportContent) -> list[dict[str, str]]:
    return [
        {"title": f.title, "value": f.value, "whole": f.whole, "note": f.note, "status": f.status}
        for f in content.facts
    ]


def _csv(records: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _guarded(value) for name, value in one.items()} for one in records)
    return text.getvalue()


def _guarded(value: object) -> object:
    """A value that no spreadsheet takes for a formula."""
    return spreadsheet_cell(value) if isinstance(value, str) else value
