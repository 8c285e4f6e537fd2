"""Verdicts in the formats that build servers read."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from crowdqc.findings import Verdict, Where
from crowdqc.judge.manifest import Entry, Manifest
from crowdqc.judge.text import sentences

_OUTCOMES = {Verdict.REVIEW.value: "skipped", Verdict.REJECT.value: "failure"}
_COMMANDS = {Verdict.REVIEW.value: "warning", Verdict.REJECT.value: "error"}


def to_junit(manifest: Manifest) -> str:
    """A report in JUnit's XML: a test per rater and case, in two suites.

    A rejected unit is a failure; one to review is skipped, with the reasons as its message, for
    JUnit knows no third outcome.
    """
    root = ET.Element("testsuites", name=f"crowdqc gate: {manifest.study}")
    for suite in ("raters", "cases"):
        units = [one for one in _units(manifest) if f"{one.kind}s" == suite]
        verdicts = [one.verdict for one in units]
        element = ET.SubElement(
            root,
            "testsuite",
            name=suite,
            tests=str(len(units)),
            failures=str(verdicts.count(Verdict.REJECT.value)),
            skipped=str(verdicts.count(Verdict.REVIEW.value)),
        )
        for one in units:
            name = _printable(one.name)
            test = ET.SubElement(element, "testcase", classname=f"crowdqc.{suite}", name=name)
            if one.verdict in _OUTCOMES:
                message = _printable("; ".join(sentences(one.reasons, one.unit)))
                ET.SubElement(test, _OUTCOMES[one.verdict], message=message)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def to_github(manifest: Manifest) -> str:
    """Workflow commands that GitHub shows beside a run: an error or a warning per unit.

    The last line is the study's verdict, as a notice, warning or error.
    """
    lines = [
        f"::{_COMMANDS[one.verdict]} title={_property(f'crowdqc: {one.kind} {one.name}')}::"
        f"{_data('; '.join(sentences(one.reasons, one.unit)))}"
        for one in _units(manifest)
        if one.verdict in _COMMANDS
    ]
    command = _COMMANDS.get(manifest.verdict.value, "notice")
    title = _property(f"crowdqc: {manifest.study}")
    text = "; ".join([manifest.verdict.value, *sentences(manifest.reasons, Where())])
    return "\n".join([*lines, f"::{command} title={title}::{_data(text)}"]) + "\n"


def _units(manifest: Manifest) -> list[Entry]:
    """Raters and cases; the reasons of a case are those of its labels, too."""
    units: list[Entry] = []
    for one in manifest.entries():
        if one.kind == "label":
            units[-1] = units[-1]._replace(reasons=[*units[-1].reasons, *one.reasons])
        elif one.kind != "study":
            units.append(one)
    return units


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _printable(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(char for char in text if char.isprintable() or char == " ")
