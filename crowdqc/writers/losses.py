"""What a format cannot say, as findings."""

from __future__ import annotations

from crowdqc.findings import Finding, Severity


class Losses:
    """Collects what is lost."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def add(self, check: str, n: int, message: str) -> None:
        """Note that `n` things are lost, if any are."""
        if n:
            finding = Finding(
                check=check, severity=Severity.REVIEW, message=f"{n} {message}", value=float(n)
            )
            self.findings.append(finding)
