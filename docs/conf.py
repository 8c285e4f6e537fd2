"""The documentation site: ``make docs`` builds it into docs/_build; every warning is an error."""

import runpy
from pathlib import Path
from typing import Any

import crowdqc

project = "crowdqc"
author = "The crowdqc developers"
version = release = crowdqc.__version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

# A docstring that says `name` means code; a DOI is a link.
default_role = "code"
extlinks = {
    "doi": ("https://doi.org/%s", "doi:%s"),
    "arxiv": ("https://arxiv.org/abs/%s", "arXiv:%s"),
}
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
autodoc_typehints = "none"  # numpydoc's sections say the types, with shapes
autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_mock_imports = ["torch", "torchvision", "segment_anything", "nnunetv2", "ray"]
suppress_warnings = ["ref.citation", "ref.footnote"]  # a source may be listed without a mark

html_theme = "alabaster"
html_theme_options = {
    "description": "Quality control and label fusion of crowd-sourced medical image annotations",
    "fixed_sidebar": True,
    "font_family": "system-ui, sans-serif",
    "head_font_family": "system-ui, sans-serif",
    "font_size": "16px",
    "page_width": "1240px",
    "sidebar_width": "230px",
}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_show_copyright = False


def setup(app: Any) -> None:
    """Write the pages of the API before Sphinx looks for pages."""
    app.connect("config-inited", _write_api)


def _write_api(app: Any, _config: Any) -> None:
    folder = Path(app.confdir) / "api"
    folder.mkdir(exist_ok=True)
    pages = runpy.run_path(str(Path(app.confdir) / "api.py"))["pages"]()
    for old in folder.glob("*.rst"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        page = folder / name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")
