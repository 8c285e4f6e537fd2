"""The stage `dataset`: nnU-Net raw datasets, filtered and unfiltered."""

from __future__ import annotations

from crowdqc.config import Config
from crowdqc.findings import InputError
from crowdqc.stages.base import Result, Run, worst
from crowdqc.stages.extras import load
from crowdqc.stages.images import has_volumes, image_files
from crowdqc.stages.mask_sets import mask_files, read_manifest
from crowdqc.stages.study import write_findings
from crowdqc.stages.truth import truth_files
from crowdqc.text import count


def too_few(config: Config) -> str:
    """Why the cases of a study make no dataset that can be cross-validated; "" where they do."""
    cases = [case for case in image_files(config) if case not in config.dataset.test]
    patient_of = load("train.splits").patient_of
    if len({patient_of(case, config.dataset.patient) for case in cases}) > 1:
        return ""
    return (
        f"has {count(len(cases), 'case')} to train on, and one patient cannot be cross-validated: "
        "folds need two. Annotate more patients, or take some out of [dataset] test."
    )


def applies(config: Config) -> bool:
    """Whether a study has what datasets are built of."""
    return has_volumes(config) and not too_few(config)


def dataset(run: Run) -> Result:
    """Build nnU-Net raw datasets."""
    config = run.config
    if not has_volumes(config):
        raise InputError(
            f"{config.file}: datasets need volumes: give [images] path (NIfTI or DICOM)."
        )
    few = too_few(config)
    if few:
        raise InputError(f"{config.file}: {few}")
    study = load("train.study")
    sources = study.Sources(
        images=image_files(config),
        masks=mask_files(run, "filtered"),
        unfiltered=mask_files(run, "unfiltered"),
        manifest=read_manifest(run).to_record(),
        truth=truth_files(config),
        readings=run.store.read("readings"),
    )
    table, findings = study.build_datasets(config, sources, raw=run.store.path("nnUNet_raw"))
    findings = write_findings(run, "dataset", findings)
    return Result(
        table=table,
        shown=table.drop(columns="left_out"),
        summary=f"{count(len(table), 'dataset')} in nnUNet_raw/, to be trained by crowdqc train.",
        files=["nnUNet_raw", "dataset.findings.jsonl"],
        findings=findings,
        verdict=worst(findings),
    )
