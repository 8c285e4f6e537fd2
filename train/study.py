"""The datasets of a study: which cases and which masks the gate's manifest puts into each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crowdqc.config import Config, Plane
from crowdqc.findings import Finding, InputError, Verdict, Where
from crowdqc.judge.text import sentences
from crowdqc.schema import ReadingState, natural_order
from crowdqc.text import nearest
from crowdqc.volumes import read_geometry
from crowdqc.writing import atomic
from train.dataset import Built, DatasetPlan, TrainingCase, build_dataset
from train.splits import Split, make_splits, patient_of, refuse_leaks, restrict_splits

SETS = ("unfiltered", "filtered", "ignore", "truth")
"""Datasets in the order of their numbers."""
_JUDGED = ("filtered", "ignore")
SPLITS = "splits_final.json"
"""Name under which nnU-Net looks for splits."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What datasets are made from.

    Parameters
    ----------
    images, masks, unfiltered, truth : mapping of str to Path
        Case and its NIfTI file: the picture, the mask of what the gate lets through, the mask
        of everything that was drawn, the expert's mask (for the set ``truth`` only).
    manifest : mapping
        The gate's ``manifest.json``: of ``cases`` the ``case``, ``verdict``, ``reasons`` and
        ``labels``; of ``prompts``, one for each accepted box, ``case``, ``slice``, ``label``;
        of ``units`` the boxes, slices and masks that were rejected one by one, of ``raters``
        those who were; ``licences`` of the weights behind the masks.
    readings : DataFrame, optional
        Table `readings`, for the set ``ignore``: without it every slice counts as read.
    """

    images: Mapping[str, Path]
    masks: Mapping[str, Path]
    unfiltered: Mapping[str, Path]
    manifest: Mapping[str, Any]
    truth: Mapping[str, Path]
    readings: pd.DataFrame | None = None


def build_datasets(
    config: Config, sources: Sources, *, raw: Path
) -> tuple[pd.DataFrame, list[Finding]]:
    """Build the datasets that a study asks for, with splits that are the same in all.

    Parameters
    ----------
    config : Config
        The study file: sections ``[labels]``, ``[dataset]`` and ``[truth]``.
    sources : Sources
        Images, masks and the manifest.
    raw : Path
        The folder ``nnUNet_raw``.

    Returns
    -------
    table : DataFrame
        ``set, dataset, n_training, n_test, n_left_out, left_out``: a row for each dataset.
    findings : list of Finding
        Cases left out for what their files are, and splits that differ between datasets.

    Raises
    ------
    InputError
        If a patient would be in training and in test, or a dataset would be empty.
    """
    plans = {name: plan_set(config, sources, name) for name in SETS if name in config.dataset.sets}
    everything = natural_order({c.case for plan in plans.values() for c in plan.training})
    refuse_leaks(everything, config.dataset.test, patient=config.dataset.patient)
    rows, findings = [], []
    for name, plan in plans.items():
        built = build_dataset(raw, plan, place=config.dataset.images)
        findings += built.findings
        findings += _write_splits(built, everything, config)
        left_out = {**plan.left_out, **{str(f.case): f.message for f in built.findings}}
        rows.append(
            {
                "set": name,
                "dataset": plan.folder,
                "n_training": len(built.cases),
                "n_test": len(plan.test),
                "n_left_out": len(left_out),
                "left_out": " ".join(natural_order(left_out)),
            }
        )
    return pd.DataFrame(rows), findings


def dataset_name(config: Config, name: str) -> str:
    """Name of the folder of one of the `SETS`, for example ``Dataset502_trial-filtered``.

    Parameters
    ----------
    config : Config
        Of the study file.
    name : str
        One of `SETS`.
    """
    return f"Dataset{_number(config, name):03d}_{_own_name(config, name)}"


def plan_set(config: Config, sources: Sources, name: str) -> DatasetPlan:
    """What goes into one of the `SETS`: see `train.dataset` for what each means.

    Parameters
    ----------
    config : Config
        Of the study file.
    sources : Sources
        Masks and images of each case, and the manifest.
    name : str
        One of `SETS`.

    Raises
    ------
    InputError
        If a case for testing or the image of a mask is not there.
    """
    masks = {"truth": sources.truth, "unfiltered": sources.unfiltered}.get(name, sources.masks)
    wanted = [case for case in natural_order(masks) if case not in config.dataset.test]
    left_out = _left_out(sources.manifest, name)
    values = config.truth_values if name == "truth" else config.label_values
    training = [
        TrainingCase(
            case=case,
            image=_image_of(case, sources.images),
            mask=masks[case],
            unknown=(
                _unknown(case, sources, labels=list(values), plane=config.images.plane)
                if name == "ignore"
                else None
            ),
        )
        for case in wanted
        if case not in left_out
    ]
    return DatasetPlan(
        number=_number(config, name),
        name=_own_name(config, name),
        labels=values,
        training=training,
        test={case: _image_of(case, sources.images) for case in config.dataset.test},
        channel=config.dataset.channel,
        unknown_is="ignore" if name == "ignore" else "background",
        other_values=name == "truth",
        left_out={case: why for case, why in left_out.items() if case in wanted},
        plane=config.images.plane,
        resample=config.images.resample,
        licences=() if name == "truth" else sources.manifest.get("licences", ()),
    )


def _number(config: Config, name: str) -> int:
    return config.dataset.id + SETS.index(name)


def _own_name(config: Config, name: str) -> str:
    return f"{config.study.name}-{name}"


def _left_out(manifest: Mapping[str, Any], name: str) -> dict[str, str]:
    """Cases that the gate keeps out of a set, and why.

    The set ``ignore`` keeps a case of which only labels are rejected: these become unknown.
    """
    left_out: dict[str, str] = {}
    for case in manifest["cases"] if name in _JUDGED else []:
        labels = [label for label, it in case["labels"].items() if _rejects(it)]
        whole = _rejects(case) and not labels
        if whole or (labels and name == "filtered"):
            left_out[case["case"]] = _why(case, labels)
    return left_out


def _rejects(record: Mapping[str, Any]) -> bool:
    return bool(record["verdict"] == Verdict.REJECT.value)


def _why(case: Mapping[str, Any], labels: Iterable[str]) -> str:
    reasons = [*case["reasons"], *(r for name in labels for r in case["labels"][name]["reasons"])]
    return "; ".join(sentences(reasons, Where(case=case["case"]))) or "rejected"


def _unknown(case: str, sources: Sources, *, labels: list[str], plane: Plane) -> NDArray[np.bool_]:
    """Which labels are not known on which slices of a case, (P, L).

    A label is not known where the gate rejects it, its box or its mask there, or the slice; on a
    slice that nobody read who was asked for it and was not rejected; and in a gap: a slice
    without a box between two slices with one.
    """
    planes = read_geometry(sources.masks[case], plane=plane).shape[2]
    unknown = _gaps(case, sources.manifest["prompts"], labels=labels, planes=planes)
    if sources.readings is not None:
        rejected = [one["rater"] for one in sources.manifest.get("raters", []) if _rejects(one)]
        table = sources.readings[~sources.readings["rater"].isin(rejected)]
        unknown |= ~_read(table[table["case"] == case], labels, planes)
    for record in sources.manifest["cases"]:
        if record["case"] == case:
            unknown |= [_rejects(record["labels"].get(x, {"verdict": ""})) for x in labels]
    for row, column in _rejected_units(case, sources.manifest, labels):
        unknown[row, column] = True
    return unknown


def _rejected_units(
    case: str, manifest: Mapping[str, Any], labels: list[str]
) -> Iterator[tuple[int, int | slice]]:
    """Slice and label (or all labels) of the boxes, masks and slices that the gate rejects."""
    for scope, units in manifest.get("units", {}).items():
        for unit in units:
            if unit["case"] != case or not _rejects(unit):
                continue
            if scope == "slice":
                yield int(unit["slice"]), slice(None)
            elif unit["label"] in labels:
                yield int(unit["slice"]), labels.index(unit["label"])


def _gaps(
    case: str, prompts: Iterable[Mapping[str, Any]], *, labels: list[str], planes: int
) -> NDArray[np.bool_]:
    there = np.zeros((planes, len(labels)), dtype=bool)
    for prompt in prompts:
        if prompt["case"] == case and prompt["label"] in labels:
            there[int(prompt["slice"]), labels.index(prompt["label"])] = True
    begun = np.logical_or.accumulate(there, axis=0)
    to_come = np.logical_or.accumulate(there[::-1], axis=0)[::-1]
    gaps: NDArray[np.bool_] = begun & to_come & ~there
    return gaps


def _read(readings: pd.DataFrame, labels: list[str], planes: int) -> NDArray[np.bool_]:
    """Which labels somebody looked for on which slices; a file that was only opened says no."""
    read = np.zeros((planes, len(labels)), dtype=bool)
    for row in readings[readings["state"] != ReadingState.OPENED.value].itertuples():
        asked = row.labels.split(" ") if row.labels else labels
        read[int(row.slice), [label in asked for label in labels]] = True
    return read


def _image_of(case: str, images: Mapping[str, Path]) -> Path:
    if case in images:
        return images[case]
    near = nearest(case, images)
    hint = f"; did you mean '{near}'?" if near else "."
    raise InputError(f"There is no image of case '{case}' ([images] path){hint}")


def _write_splits(built: Built, everything: list[str], config: Config) -> list[Finding]:
    """Write the splits of a dataset into its folder; a finding where they had to change."""
    findings: list[Finding] = []
    splits: list[Split] = []
    try:
        splits = restrict_splits(_splits(everything, config), built.cases)
    except InputError as error:
        message = f"{built.folder.name}: its folds are not those of the other datasets. {error}"
        findings.append(_finding("dataset-splits", message))
        splits = _splits(built.cases, config)
    if len(splits) < config.dataset.folds:
        message = (
            f"{built.folder.name}: has {len(splits)} folds instead of {config.dataset.folds}, "
            f"because it has {len(built.cases)} cases."
        )
        findings.append(_finding("dataset-few-folds", message, value=len(splits)))
    with atomic(built.folder / SPLITS) as temporary:
        temporary.write_text(json.dumps(splits, indent=1) + "\n", encoding="utf-8")
    return findings


def _splits(cases: Iterable[str], config: Config) -> list[Split]:
    """As many folds as were asked for, or as there are patients; none for a single one."""
    cases, settings = list(cases), config.dataset
    patients = {patient_of(case, settings.patient) for case in cases}
    folds = min(settings.folds, len(patients))
    if folds < 2:
        return []
    return make_splits(cases, folds=folds, seed=config.study.seed, patient=settings.patient)


def _finding(check: str, message: str, *, value: float | None = None) -> Finding:
    return Finding(check=check, message=message, value=value)
