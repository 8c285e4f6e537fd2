"""Verdicts in the formats that build servers read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from crowdqc.findings import Verdict, Where
from crowdqc.judge.manifest import Manifest
from crowdqc.judge.words import sentences

_OUTCOMES = {Verdict.REVIEW.value: "skipped", Verdict.REJECT.value: "failure"}
_COMMANDS = {Verdict.REVIEW.value: "warning", Verdict.REJECT.value: "error"}


def to_junit(manifest: Manifest) -> str:
    """A report in JUnit's XML: a test per rater and case, in two suites.

    A rejected unit is a failure; one to review is skipped, with the reasons as its message, for
    JUnit knows no third outcome.
    """
    root = ET.Element("testsuites", name=f"crowdqc gate: {manifest.study}")
    for suite, units in (
        ("raters", [(Where(rater=one["rater"]), one) for one in manifest.raters]),
        ("cases", [(Where(case=one["case"]), one) for one in manifest.cases]),
    ):
        verdicts = [one["verdict"] for _, one in units]
        element = ET.SubElement(
            root,
            "testsuite",
            name=suite,
            tests=str(len(units)),
            failures=str(verdicts.count(Verdict.REJECT.value)),
            skipped=str(verdicts.count(Verdict.REVIEW.value)),
        )
        for unit, one in units:
            name = _printable(unit.rater or unit.case or "")
            test = ET.SubElement(element, "testcase", classname=f"crowdqc.{suite}", name=name)
            if one["verdict"] in _OUTCOMES:
                message = _printable(_reasons(one, unit))
                ET.SubElement(test, _OUTCOMES[one["verdict"]], message=message)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def to_github(manifest: Manifest) -> str:
    """Workflow commands that GitHub shows beside a run: an error or a warning per unit.

    The last line is the study's verdict, as a notice, warning or error.
    """
    units = [(f"rater {one['rater']}", Where(rater=one["rater"]), one) for one in manifest.raters]
    units += [(f"case {one['case']}", Where(case=one["case"]), one) for one in manifest.cases]
    lines = [
        f"::{_COMMANDS[one['verdict']]} title={_property(f'crowdqc: {name}')}::"
        f"{_data(_reasons(one, unit))}"
        for name, unit, one in units
        if one["verdict"] in _COMMANDS
    ]
    command = _COMMANDS.get(manifest.verdict.value, "notice")
    title = _property(f"crowdqc: {manifest.study}")
    said = "; ".join([manifest.verdict.value, *sentences(manifest.reasons, Where())])
    return "\n".join([*lines, f"::{command} title={title}::{_data(said)}"]) + "\n"


def _reasons(one: Mapping[str, Any], unit: Where) -> str:
    """The reasons of a unit; for a case, those of its labels, too."""
    inside = [reason for label in one.get("labels", {}).values() for reason in label["reasons"]]
    return "; ".join(sentences([*one["reasons"], *inside], unit))


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _printable(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(char for char in text if char.isprintable() or char == " ")
