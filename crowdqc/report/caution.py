"""Results that should not be relied on as they are: older than their inputs, or made elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from crowdqc.report.content import Fact, ReportContent, ReportSection, Step
from crowdqc.report.text import listing

SHOWS = {
    "raters": ("agree", "gate"),
    "pairs": ("agree",),
    "agreement": ("agree",),
    "completeness": ("complete",),
    "fusion": ("fuse",),
    "gate": ("gate",),
    "masks": ("masks", "risk"),
    "effect": ("evaluate", "train"),
    "findings": ("check", "agree", "complete"),
}
"""Section -> stages whose results it shows."""


@dataclass(frozen=True)
class Caution:
    """Stages whose results are in doubt.

    Parameters
    ----------
    stale : mapping of str to str
        Stage -> why it is older than what it was made from, as a sentence without paths.
    untrusted : collection of str
        Stages whose results were not made by this user on this machine.
    """

    stale: Mapping[str, str] = field(default_factory=dict)
    untrusted: Collection[str] = ()

    def applied(self, content: ReportContent) -> ReportContent:
        """The report with everything in doubt marked, and never a milder verdict for it."""
        if not self.stale and not self.untrusted:
            return content
        accepted = content.verdict == "accept"
        return replace(
            content,
            verdict="review" if accepted else content.verdict,
            headline="Not to be relied on as it is" if accepted else content.headline,
            steps=(*self._steps(), *content.steps),
            facts=tuple(map(self._fact, content.facts)),
            sections=tuple(map(self._section, content.sections)),
            notices=tuple(self._notices()),
        )

    def _notices(self) -> list[str]:
        notices = []
        if self.stale:
            names = listing(list(self.stale), len(self.stale))
            why = next(iter(self.stale.values()))  # the others rest on the first
            notices.append(f"Out of date, and shown as they were: {names}. {why}")
        if self.untrusted:
            notices.append(
                f"Not made by this user on this machine: the results of "
                f"{listing(list(self.untrusted), len(self.untrusted))}."
            )
        return notices

    def _steps(self) -> list[Step]:
        steps = []
        if self.stale:
            names = listing(list(self.stale), len(self.stale))
            why = f"Older than what they were made from: {names}."
            steps.append(Step("Run crowdqc run", why, "provenance"))
        if self.untrusted:
            steps.append(
                Step(
                    "Make the results here again: crowdqc run --fresh",
                    "Or, if you know who made them, say so with --trust-results.",
                    "provenance",
                )
            )
        return steps

    def _doubted(self, section: str) -> list[str]:
        """What is in doubt of the results that a section shows, in words."""
        shown = SHOWS.get(section, ())
        parts = [f"Out of date. {self.stale[stage]}" for stage in shown if stage in self.stale][:1]
        if any(stage in self.untrusted for stage in shown):
            parts.append("Not made by this user on this machine.")
        return parts

    def _section(self, section: ReportSection) -> ReportSection:
        parts = self._doubted(section.key)
        if not parts or section.missing:
            return section
        status = "review" if section.status == "accept" else section.status
        return replace(section, notice=" ".join(parts), status=status)

    def _fact(self, fact: Fact) -> Fact:
        old = any(stage in self.stale for stage in SHOWS.get(fact.section, ()))
        return replace(fact, note=f"{fact.note}; out of date", status="review") if old else fact
