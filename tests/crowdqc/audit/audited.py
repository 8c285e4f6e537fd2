"""A study of masks made elsewhere, some of which are bad, and experts who grade what is listed."""

import json

import numpy as np
import pandas as pd

from tests.commands import call
from tests.niftis import save
from tests.studies import TABLE, write_boxes

SLICES, CASES = 30, [f"{k:02d}" for k in range(12)]
BAD_CASES = ("02", "07")
HEADER = "decision,unit,case,slice,label,grade,dice,reviewer\n"
MASKS = ("risk", "--masks", "masks/{case}.nii.gz", "--masks", "other/{case}.nii.gz")


def write_audited(folder, *, policy=""):
    """A study of 360 masks, of which those on slices 3 to 5 of two cases are bad and risky."""
    rows = [(c, k, "ada", "liver", 5, 5, 25, 25) for c in CASES for k in range(SLICES)]
    study = write_boxes(folder, rows, text=TABLE.replace('"small"', '"small"\nseed = 3') + policy)
    for case in CASES:
        good = np.zeros((40, 40, SLICES))
        good[5:25, 5:25] = 1
        save(folder / "other" / f"{case}.nii.gz", good)
        masks = good.copy()
        if case in BAD_CASES:
            masks[:, :, 3:6] = 0
            masks[30:33, 30:33, 3:6] = 1
        save(folder / "masks" / f"{case}.nii.gz", masks)
    assert call(MASKS[0], study, *MASKS[1:]).exit_code == 0
    return study


def is_bad(row):
    return row["case"] in BAD_CASES and 3 <= row["slice"] <= 5


def listed(folder):
    table = pd.read_csv(folder / "out" / "audit.csv", dtype={"case": str})
    return table[table["role"].notna() & ~table["graded"]]


def grade(folder, rows, *, by="eva"):
    path = folder / "decisions.csv"
    text = path.read_text("utf-8") if path.exists() else HEADER
    for row in rows.to_dict("records"):
        value = "bad" if is_bad(row) else "good"
        text += f"grade,mask,{row['case']},{row['slice']},{row['label']},{value},,{by}\n"
    path.write_text(text, "utf-8")


def grade_until_reached(folder, study, *words):
    """How many rounds of grading it takes."""
    for rounds in range(20):
        result = call("audit", study, *words)
        assert result.exit_code == 0, result.output
        if "That is what was wanted" in result.output:
            return rounds
        grade(folder, listed(folder))
    raise AssertionError(result.output)


def manifest(folder):
    return json.loads((folder / "out" / "manifest.json").read_text("utf-8"))
