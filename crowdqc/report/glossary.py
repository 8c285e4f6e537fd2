"""What the words and measures of a report mean, for people who do not know them yet."""

from __future__ import annotations

from crowdqc.report.content import ReportSection, Table, TableColumn

MEASURES = {
    "mean_iou": "Overlap of each box with that of the others, from 0 (none) to 1 (the same box): "
    "area shared over area covered; what was missed or added counts as 0",
    "f1": "Share of the boxes that the other rater of a pair drew as well, over all pairs, 0 to 1",
    "alpha_box": "Agreement on which objects there are, beyond chance: 1 is perfect, 0 is chance",
    "alpha_box_mean": "Alpha of boxes within each slice, then averaged",
    "alpha_presence": "Agreement on whether the organ is on a slice, beyond chance: 1 is perfect, "
    "0 is chance. Low where an organ is on nearly all slices, or on nearly none",
    "ac1_presence": "As alpha of presence, with another idea of chance, which bears organs that "
    "are on nearly all slices",
    "fleiss_presence": "As alpha of presence, in an older form that needs equally many raters "
    "on each slice",
    "pair_iou": "Overlap of the boxes of these two raters, from 0 (none) to 1 (the same box)",
    "pair_f1": "Share of the boxes of these two that the other drew as well, 0 to 1",
    "pair_kappa": "Agreement of these two on whether an organ is on a slice, beyond chance: 1 is "
    "perfect, 0 is chance",
    "first_slice_error": "How far from the median of the others a rater begins the organ",
    "last_slice_error": "How far from the median of the others a rater ends the organ",
}
"""Measure -> what it says, in a sentence."""

TASKS = {
    "case-unread": "opened, but nothing was drawn",
    "organ-missing": "the organ was never drawn",
    "slice-lost": "nothing at all drawn on these slices",
    "organ-gap": "no box, though the organ goes on",
    "run-truncated": "stops before the organ ends",
    "single-slice": "drawn on one slice only",
    "run-short": "much shorter than usual",
    "run-sparse": "too few slices drawn",
    "double-box": "two boxes for one organ",
    "box-jump": "lies far from the slices before and after",
    "labels-swapped": "drawn where another organ is",
    "wrong-side": "on the wrong side of the body",
}
"""Check that asks a rater for something -> why, in words."""

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
        "Words",
        tables=(Table("glossary", "What words mean here", columns, tuple(WORDS.items())),),
    )
