"""Derivatives of BIDS: ``sub-X/anat/sub-X_dseg.nii.gz``, probabilities and sidecars.

Names follow the section "Derived data: segmentations" of BIDS 1.10.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from crowdqc.exports.archive import Archive, MaskVolume, loss
from crowdqc.findings import Finding, InputError
from crowdqc.volumes import write_map

BIDS_VERSION = "1.10.0"


def write_bids(archive: Archive, folder: Path) -> list[Finding]:
    """Write the masks of all cases and what they are.

    Parameters
    ----------
    archive : Archive
        Has masks.
    folder : Path
        Empty; as of `crowdqc.exports.export`.

    Returns
    -------
    list of Finding
        What BIDS cannot hold.
    """
    volumes = archive.needed_volumes()
    subjects = _subjects([volume.case for volume in volumes])
    _write_json(folder / "dataset_description.json", _description(archive))
    people = pd.DataFrame({"participant_id": subjects.values(), "case": subjects.keys()})
    _write_tsv(folder / "participants.tsv", people)
    for volume in volumes:
        _write_case(volume, archive, folder / subjects[volume.case] / "anat")
    renamed = [case for case, subject in subjects.items() if subject != f"sub-{case}"]
    found = [
        loss(
            "The probability of a voxel is that of its own label, and outside that of the nearest: "
            "masks come with one map of uncertainty."
        )
    ]
    if renamed:
        found.append(
            loss(
                f"BIDS allows letters and digits only: {len(renamed)} cases have other names, as "
                f"participants.tsv says (first: {renamed[0]} is {subjects[renamed[0]]})."
            )
        )
    return found


def _subjects(cases: list[str]) -> dict[str, str]:
    """Case -> name of the subject, of letters and digits."""
    subjects = {case: "sub-" + re.sub("[^A-Za-z0-9]", "", case) for case in cases}
    taken: dict[str, str] = {}
    for case, subject in subjects.items():
        if subject == "sub-" or subject.lower() in taken:
            other = taken.get(subject.lower(), "no name at all")
            raise InputError(
                f"Case {case}: BIDS allows letters and digits only, which leaves the name "
                f"{subject}, the same as that of {other}. Rename one of them."
            )
        taken[subject.lower()] = case
    return subjects


def _description(archive: Archive) -> dict[str, Any]:
    about = archive.publication
    made = {"Name": "crowdqc", "Version": archive.version}
    if archive.models:
        made["Description"] = f"Masks drawn by {archive.models} from fused boxes of several raters"
    found = {
        "Name": archive.name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [made],
        "License": about.license,
        "Authors": about.creators,
        "HowToAcknowledge": about.cite,
    }
    return {key: value for key, value in found.items() if value}


def _write_case(volume: MaskVolume, archive: Archive, place: Path) -> None:
    subject = place.parent.name
    place.mkdir(parents=True)
    volume.labels()  # refuses masks of another grid
    shutil.copyfile(volume.mask, place / f"{subject}_dseg.nii.gz")
    names = pd.DataFrame({"index": archive.numbers.values(), "name": archive.numbers.keys()})
    _write_tsv(place / f"{subject}_dseg.tsv", names)
    manual = {"Manual": False, "Sources": [volume.image.name]}
    _write_json(place / f"{subject}_dseg.json", manual)
    for label, probability in volume.probabilities(archive.numbers).items():
        if not probability.any():
            continue
        name = re.sub("[^A-Za-z0-9]", "", label)
        stem = f"{subject}_label-{name}_probseg"
        path = place / f"{stem}.nii.gz"
        write_map(path, probability, like=volume.image, resample=volume.resample)
        _write_json(place / f"{stem}.json", {**manual, "Description": f"Probability of {label}"})


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_tsv(path: Path, table: pd.DataFrame) -> None:
    path.write_text(table.to_csv(sep="\t", index=False, lineterminator="\n"), encoding="utf-8")
