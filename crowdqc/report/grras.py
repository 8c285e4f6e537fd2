"""What a publication must say of reliability and agreement, by the guideline GRRAS [1]_.

Items that the results answer are filled in; of the others the table names the key of the study file
that would, or says that they belong to the text.

References
----------
.. [1] J. Kottner et al., "Guidelines for Reporting Reliability and Agreement Studies (GRRAS) were
   proposed", Journal of Clinical Epidemiology 64(1), 2011.
   :doi:`10.1016/j.jclinepi.2010.03.002`
"""

from __future__ import annotations

from crowdqc.report.content import Table, TableColumn
from crowdqc.report.results import Results
from crowdqc.text import count

_TEXT = "For the text of the publication."
MAX_NAMES = 5
"""Labels that are named."""
ITEMS = (
    "Reliability or agreement named in title or abstract",
    "Measurement",
    "Population of subjects",
    "Population of raters",
    "What is known already, and why the study was done",
    "Sample size: raters, subjects, repetitions, and how it was chosen",
    "Sampling of subjects and raters",
    "Rating process: training, time, blinding",
    "Independence of the ratings",
    "Statistical analysis",
    "Raters and subjects that took part",
    "Characteristics of the raters",
    "Estimates with their uncertainty",
    "Practical relevance",
    "Detailed results",
)
"""The items of the guideline, in few words."""
COLUMNS = (
    TableColumn("item", "Item", "count"),
    TableColumn("report", "What to report"),
    TableColumn("here", "In this study"),
)


def grras_table(results: Results) -> Table:
    """The 15 items of GRRAS, and what this study says of each."""
    items = {**_questions(results), **_answers(results)}
    rows = tuple((number, ITEMS[number - 1], items.get(number, _TEXT)) for number in range(1, 16))
    return Table("grras", "What a publication reports (GRRAS)", COLUMNS, rows)


def _questions(results: Results) -> dict[int, str]:
    """Items that only people can answer, in ``[publication]``."""
    publication = results.publication
    names = ", ".join(results.labels[:MAX_NAMES]) + " ..." * (len(results.labels) > MAX_NAMES)
    return {
        2: f"Boxes of {names}, drawn in {publication.platform or _ask('platform')}",
        3: publication.subjects or _ask("subjects"),
        4: publication.demographics or _ask("demographics"),
        6: f"{_sample(results)}. {publication.sample_size or _ask('sample_size')}",
        7: publication.sampling or _ask("sampling"),
        8: publication.protocol or _ask("protocol"),
        12: publication.demographics or _ask("demographics"),
    }


def _answers(results: Results) -> dict[int, str]:
    """Items that the results answer."""
    level = "" if results.level is None else f"; intervals of {100 * results.level:g} %"
    return {
        9: _independence(results),
        10: f"docs/measures.md and docs/method.md of crowdqc {results.version}{level}",
        11: f"{_sample(results)}; {_repeats(results)}",
        13: "The tables of this section and of the raters.",
        15: "measurements.csv and raters.csv beside this page.",
    }


def _ask(key: str) -> str:
    return f"Missing: [publication] {key} in the study file."


def _sample(results: Results) -> str:
    read = results.table("readings").drop_duplicates(["case", "slice"])
    parts = (len(results.raters), "rater"), (len(results.cases), "case"), (len(read), "slice")
    return ", ".join(count(n, name) for n, name in parts)


def _repeats(results: Results) -> str:
    """How many people read the same slice."""
    each = results.table("readings").groupby(["case", "slice"])["rater"].nunique()
    if each.empty:
        return "nothing was read"
    return f"a slice was read by {each.min()} to {each.max()} raters (median {each.median():g})"


def _independence(results: Results) -> str:
    """Whether some raters err as others do."""
    copying = {"raters-dependent", "boxes-copied"}
    found = (one for one in results.of("agree") if one.check in copying)
    names = {one.rater for one in found if one.rater}
    if names:
        return f"Not all: {', '.join(sorted(names))} draw as another rater does (see the raters)."
    return "No sign of copying was found. Whether they could see each other's boxes: " + (
        results.publication.protocol or _ask("protocol")
    )
