"""What the words and measures of a report mean, for people who do not know them yet."""

from __future__ import annotations

from crowdqc.report.content import ReportSection, Table, TableColumn

WORDS = {
    "agreement": "How well a rater's boxes lie on those of the others: mean IoU, 0 to 1.",
    "case": "One examination: a volume of slices, or a single picture.",
    "consensus": "What the raters who looked at a slice say together; the fused box is its place.",
    "Dice": "Overlap of two masks: twice the area they share over the sum of their areas, 0 to 1.",
    "F1": "Of found and missed objects: 1 if two lists of boxes hold the same, 0 if nothing.",
    "fused box": "One box made of those of several raters, each weighted by how reliable they are.",
    "gate, policy": "The policy is a file of rules with limits; the gate asks them and says what "
    "may be used (accept), what somebody should look at (review) and what not (reject).",
    "interval": "Where a number could also lie had other cases been drawn; wide means: few cases.",
    "IoU": "Overlap of two boxes: area they share over area they cover, 0 (apart) to 1 (the same).",
    "mask": "The pixels of an organ on a slice, drawn by a program from a box.",
    "object": "One organ on one slice.",
    "reliability": "Estimated share of right boxes (F1 against the truth, as far as the crowd "
    "shows it).",
    "run": "All slices on which one rater drew one organ of one case.",
    "risk": "Estimated probability that a mask is wrong.",
}
"""Word -> what this report means by it."""


def glossary_section() -> ReportSection:
    """The words of the report, for those who read their first one."""
    columns = (TableColumn("word", "Word", "name"), TableColumn("meaning", "Meaning"))
    return ReportSection(
        "glossary",
        "Glossary",
        tables=(Table("glossary", "What words mean here", columns, tuple(WORDS.items())),),
    )
