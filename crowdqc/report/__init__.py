"""The report: what the stages wrote, arranged for people. It computes nothing.

`gather` reads a folder of results into a `ReportContent`; `render` makes of that one HTML file
that needs neither a network nor another file; `to_markdown`, `to_json` and `to_csv` make the same
in other forms.
"""

from crowdqc.report.caution import Caution
from crowdqc.report.content import ReportContent
from crowdqc.report.export import to_csv, to_json, to_markdown
from crowdqc.report.gather import gather
from crowdqc.report.pictures import judged_region
from crowdqc.report.pixels import outline, uncertainty_colours
from crowdqc.report.render import render
from crowdqc.report.slice_files import VolumeSlices

__all__ = [
    "Caution",
    "ReportContent",
    "VolumeSlices",
    "gather",
    "judged_region",
    "outline",
    "render",
    "to_csv",
    "to_json",
    "to_markdown",
    "uncertainty_colours",
]
