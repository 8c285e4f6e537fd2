"""What raters call each label: their rates of confusion, by the model of Dawid and Skene."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crowdqc.agreement.pool import Places, Summands, pool
from crowdqc.agreement.units import Units
from crowdqc.crowd import Given, dawid_skene

PRIOR = 10.0
"""Values of all raters added to those of each: with ten objects of a label, half is the rater's."""
NOTHING = "nothing"
"""What an object is called by a rater who does not draw it."""
UNLIKELY = 1e-3
"""Probability below which a unit is left out of what is true of a label."""


def confusions_of_raters(units: Units, places: Places) -> pd.DataFrame:
    """Rows ``called_LABEL`` of each rater and true label: how often it was called that.

    Of units that two raters or more were asked for, weighted by how likely the label is true.
    `n` counts these units. Rates of 0 have no row; nor has a study of one or two raters, of
    whom nothing says who is right.

    Parameters
    ----------
    units : Units
        What each rater called each unit, as `to_units` makes them.
    places : Places
        Names and clusters.
    """
    people, labels = places.names["rater"], places.names["label"]
    count = np.bincount(units.unit, minlength=len(units.image))
    rows = np.flatnonzero(count[units.unit] >= 2)
    unit, rater, value = units.unit[rows], units.rater[rows], units.value[rows]
    if len(people) < 3 or not len(rows):
        return pd.DataFrame()
    votes = Given(unit, rater, value, len(units.image), len(people), len(labels) + 1)
    likely = dawid_skene(votes, prior=PRIOR).posterior[unit]
    place = np.zeros(int(places.image.max(initial=-1)) + 1, np.int64)
    place[places.image] = np.arange(len(places.image))
    at, true = np.nonzero(likely[:, :-1] > UNLIKELY)
    weight = likely[at, true]
    codes = {"rater": rater[at], "label": true}
    tables = []
    group = codes["rater"] * len(labels) + codes["label"]
    for given in np.unique(value[at]):
        name = labels[given] if given < len(labels) else NOTHING
        same = value[at] == given
        met = np.zeros(len(people) * len(labels), bool)
        met[group[same]] = True
        kept = np.flatnonzero(met[group])  # who never called a label so has a rate of 0
        parts = (np.where(same, weight, 0.0)[kept], weight[kept])
        codes_kept = {key: code[kept] for key, code in codes.items()}
        summands = Summands(place[units.image[unit[at[kept]]]], parts, codes_kept)
        table = pool(summands, ["rater", "label"], places, measure=f"called_{name}")
        tables.append(table[table["value"] > 0])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
