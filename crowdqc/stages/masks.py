"""Stages behind the gate: masks, dataset, evaluate.

`samgen` and `train` stand on crowdqc, so they are named as text here and loaded when needed.

Two sets of masks are drawn. ``filtered`` (the folder masks/) follows the manifest: the boxes of
accepted cases and labels, fused without the raters who were rejected. ``unfiltered``
(masks/unfiltered/) is what there would be without quality control: every fused box of all raters.
"""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from crowdqc.config import Config
from crowdqc.engine import Engine, open_engine
from crowdqc.findings import Finding, InputError, Verdict
from crowdqc.fusion.members import with_members
from crowdqc.judge import USABLE
from crowdqc.schema import conform
from crowdqc.stages.base import Result, Run, worst
from crowdqc.stages.boxes import person
from crowdqc.stages.drawn import RISK, SETS, mask_files, read_manifest
from crowdqc.stages.images import case_files, image_files, is_volume
from crowdqc.stages.risk import judge_masks, write_risk
from crowdqc.stages.truth import truth_values

_KEY = ["case", "slice", "label"]


def load(name: str) -> ModuleType:
    """A module of `samgen` or `train`, once it is sure that they are ours.

    Raises
    ------
    InputError
        If another package of that common name comes first, or an extra is not installed.
    """
    package = name.partition(".")[0]
    try:
        module = importlib.import_module(name)
        found = importlib.import_module(package).__file__
    except ModuleNotFoundError as error:
        raise InputError(f"{name}: cannot be loaded: {error}. Install crowdqc[all].") from error
    if Path(str(found)).parent.parent != Path(__file__).parents[2]:
        raise InputError(
            f"The package '{package}' that Python finds ({found}) is not the one of crowdqc. "
            "Remove it, or start crowdqc from another folder."
        )
    return module


def has_images(config: Config) -> bool:
    """Whether a study has volumes to draw masks on."""
    return config.images.path is not None and is_volume(config.images.path)


def masks(run: Run) -> Result:
    """Draw masks with an uncertainty, filtered as the manifest says, and unfiltered."""
    if not has_images(run.config):
        raise InputError(
            f"{run.config.file}: masks need volumes: give [images] path (NIfTI or DICOM)."
        )
    sets = mask_prompts(run)
    task = mask_task(run.config, cache=run.store.path("embeddings"))
    tables = {name: _draw(run, task, name, prompts=one) for name, one in sets.items()}
    table = tables["filtered"]
    risk = judge_masks(run, sets["filtered"], [mask_files(run, "filtered")], drawn=table)
    table = table.drop(columns="risk").merge(risk[[*_KEY, "risk"]], on=_KEY, how="left")
    table = conform("masks", table)
    write_risk(run, risk)
    run.store.write("masks", table)
    means = table.groupby("label", sort=False)[["area_px", "pairwise_dice", "box_iou", "risk"]]
    counts = table.groupby("label", sort=False).size().rename("n")
    return Result(
        table=table,
        shown=pd.concat([counts, means.mean()], axis=1).reset_index(),
        summary=f"{len(table)} masks of {table['case'].nunique()} cases in {SETS['filtered']}/.",
        files=["masks.csv", "masks", RISK],
    )


def mask_prompts(run: Run) -> dict[str, pd.DataFrame]:
    """Set of masks -> its fused boxes, with those of the raters who may speak for it."""
    manifest = read_manifest(run)
    consensus = run.store.read("consensus")
    prompts = {
        "filtered": manifest.prompt_table(),
        "unfiltered": consensus[consensus["state"].isin(USABLE)],
    }
    if prompt_origins(run.config) == "fused":
        return prompts
    rejected = [one["rater"] for one in manifest.raters if one["verdict"] == Verdict.REJECT]
    boxes = run.store.read("boxes")
    who = person(boxes, run.config.annotations.rater_scope)
    drawn = {"filtered": boxes[~who.isin(rejected)], "unfiltered": boxes}
    iou = run.config.match.iou
    return {name: with_members(table, drawn[name], iou=iou) for name, table in prompts.items()}


def _draw(run: Run, task: Any, name: str, *, prompts: pd.DataFrame) -> pd.DataFrame:
    """Draw one set of masks."""
    out = run.store.path(SETS[name])
    with run.watch(f"Slices, {name}") as progress:
        table: pd.DataFrame = load("samgen.generate").generate_masks(
            prompts,
            task,
            images=image_files(run.config),
            out=out,
            engine=engine(run.config),
            say=lambda text: run.say(f"{text} ({name})"),
            progress=progress,
        )
    _remove_others(out, set(table["case"]))
    return table


def mask_task(config: Config, *, cache: Path | None) -> Any:
    """What `samgen` is to do; SAM keeps its embeddings in `cache`."""
    first, second = predictors(config, cache)
    return load("samgen.generate").Task(
        labels={label.name: label.value for label in config.labels.values()},
        predictor=first,
        second=second,
        settings=mask_settings(config),
    )


def mask_settings(config: Config) -> Any:
    """Settings of `samgen`, from the study file."""
    settings = load("samgen.settings")
    return settings.MaskSettings(
        plane=config.images.plane,
        picture=config.images.picture,
        window=config.images.window,
        prompts=settings.PromptSettings(
            n_prompts=n_prompts(config),
            origins=prompt_origins(config),
            jitter=config.masks.jitter,
        ),
        volume=_volume_settings(config),
        square_pixels=config.masks.mode == "best",
        seed=config.study.seed,
    )


def _volume_settings(config: Config) -> Any:
    """What is done between slices: nothing, in the study that crowdqc grew out of."""
    kind, section = load("samgen.settings").VolumeSettings, config.masks
    if section.mode == "paper":
        return kind()
    return kind(
        reprompt=section.reprompt,
        smooth_mm=section.smooth_mm,
        remove_islands=section.remove_islands,
        fill_holes=section.fill_holes,
    )


def _remove_others(folder: Path, cases: set[str]) -> None:
    """Remove masks of cases that an earlier manifest let through and this one does not."""
    endings = (".nii.gz", ".uncertainty.nii.gz", ".json")
    ours = {f"{case}{ending}" for case in cases for ending in endings}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_file() and path.name not in ours:
            path.unlink()


def n_prompts(config: Config) -> int:
    """Prompts per object: the study that crowdqc grew out of had the box itself and no other."""
    return 1 if config.masks.mode == "paper" else config.masks.prompts


def prompt_origins(config: Config) -> str:
    """What prompts lie round; the one prompt of the paper's mode is the fused box."""
    return "fused" if config.masks.mode == "paper" else config.masks.origins


def predictors(config: Config, cache: Path | None) -> tuple[Any, Any]:
    """The model that ``[masks] model`` names, and the second one, or None.

    SAM keeps its embeddings in `cache`. The models are loaded when and where they are first
    used; then there is an `InputError` if there is no such model, or no weights are at hand.
    """
    lazy = load("samgen.predictor").LazyPredictor
    cache = None if cache is None else cache.absolute()
    names = (config.masks.model, config.masks.second_model)
    first, second = (name and lazy(partial(_predictor, name, config, cache)) for name in names)
    return first, second


def _predictor(name: str, config: Config, cache: Path | None) -> Any:
    if name == "intensity":
        return load("samgen.predictors.intensity").IntensityPredictor()
    section = config.masks
    return load("samgen.predictors.sam").load_predictor(
        name, mode=section.mode, device=section.device, cache=cache
    )


def engine(config: Config) -> Engine:
    """Where masks are drawn, with a GPU for each worker where the model uses one."""
    section = config.masks
    if section.device == "cpu" or {section.model, section.second_model} <= {"intensity", None}:
        return open_engine(config.engine, gpus=0)
    return open_engine(config.engine, gpus=None if section.device == "auto" else 1)


def dataset(run: Run) -> Result:
    """Build nnU-Net raw datasets."""
    config = run.config
    if not has_images(config):
        raise InputError(
            f"{config.file}: datasets need volumes: give [images] path (NIfTI or DICOM)."
        )
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
    run.store.write_findings("dataset", findings)
    return Result(
        table=table,
        shown=table.drop(columns="left_out"),
        summary=f"{len(table)} datasets in nnUNet_raw/; export nnUNet_raw to train on them.",
        files=["nnUNet_raw", "dataset.findings.jsonl"],
        findings=findings,
        verdict=worst(findings),
    )


def truth_files(config: Config) -> dict[str, Path]:
    """Case -> expert mask; empty where the study has none."""
    if config.truth is None or config.truth.path is None:
        return {}
    return case_files(config, config.truth.path)


def has_truth(config: Config) -> bool:
    """Whether a study has expert masks to score masks against."""
    return has_images(config) and bool(config.truth and config.truth.path)


def evaluate(run: Run) -> Result:
    """Score both sets of masks against the truth, and compare them."""
    from crowdqc.compare import compare_scores

    config = run.config
    if not has_truth(config):
        raise InputError(f"{config.file}: scores need [images] path and [truth] path.")
    parts, findings = [], []
    for name in SETS:
        scores, found = _score(run, name)
        parts.append(scores)
        findings += found
    scores = pd.concat(parts, ignore_index=True)
    comparison, found = compare_scores(
        scores, names=("filtered", "unfiltered"), seed=config.study.seed
    )
    run.store.write("scores", scores)
    run.store.write("comparison", comparison)
    run.store.write_findings("evaluate", [*findings, *found])
    volumes = scores[scores["slice"].isna()]
    means = volumes.pivot_table(index="label", columns="set", values="dice", sort=False)
    return Result(
        table=scores,
        shown=means.reset_index(),
        summary=f"Mean volume Dice: {_means(volumes)}.",
        files=["scores.csv", "comparison.csv", "evaluate.findings.jsonl"],
        findings=[*findings, *found],
    )


def _means(volumes: pd.DataFrame) -> str:
    means = volumes.groupby("set", sort=False)["dice"].mean()
    return ", ".join(f"{name} {value:.3f}" for name, value in means.items())


def _score(run: Run, name: str) -> tuple[pd.DataFrame, list[Finding]]:
    module = load("train.evaluate")
    config = run.config
    truth = truth_files(config)
    cases = [
        module.ScoredCase(case=case, mask=mask, truth=truth[case])
        for case, mask in mask_files(run, name).items()
        if case in truth
    ]
    table, findings = module.score_masks(
        cases,
        set_name=name,
        labels={label.name: label.value for label in config.labels.values()},
        truth_values=truth_values(config),
        tolerances_mm=config.tolerances_mm,
        plane=config.images.plane,
        engine=open_engine(config.engine),
    )
    return table, findings
