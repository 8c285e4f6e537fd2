"""The report: what the stages wrote, arranged for people. It computes nothing.

`gather` reads a folder of results into a `ReportContent`; `render` makes of that one HTML file
that needs neither a network nor another file.
"""

from crowdqc.report.content import ReportContent
from crowdqc.report.gather import gather
from crowdqc.report.render import render

__all__ = ["ReportContent", "gather", "render"]
