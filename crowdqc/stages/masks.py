"""The stage `masks`: masks with an uncertainty from the boxes that the gate accepted.

Two sets of masks are drawn. ``filtered`` (the folder masks/) follows the manifest: the boxes of
accepted cases and labels, fused without the raters who were rejected. ``unfiltered``
(masks/unfiltered/) is what there would be without quality control: every fused box of all raters.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from crowdqc.config import Config
from crowdqc.engine import Engine, open_engine
from crowdqc.files import SEAL
from crowdqc.findings import Finding, InputError, Verdict
from crowdqc.fusion.members import with_members, with_points
from crowdqc.judge import USABLE
from crowdqc.schema import PLACE, conform, empty
from crowdqc.stages.base import Result, Run
from crowdqc.stages.extras import load
from crowdqc.stages.images import has_volumes, image_files
from crowdqc.stages.mask_sets import RISK, SETS, known_empty, mask_files, read_manifest
from crowdqc.stages.risk import judge_masks, measure_masks, write_risk
from crowdqc.stages.shards import shard_cases
from crowdqc.stages.study import person, write_findings
from crowdqc.text import count

NO_CONTRAST = "no_contrast"
"""Column of what `samgen` returns, where an object was not drawn for want of contrast."""


def masks(run: Run) -> Result:
    """Draw masks with an uncertainty, filtered as the manifest says, and unfiltered."""
    if not has_volumes(run.config):
        raise InputError(
            f"{run.config.file}: masks need volumes: give [images] path (NIfTI or DICOM)."
        )
    sets = mask_prompts(run)
    task = mask_task(run, cache=run.store.path("embeddings"))
    tables = {name: _draw(run, task, name, prompts=one) for name, one in sets.items()}
    for name, table in tables.items():
        _remove_others(run.store.path(SETS[name]), set(table["case"]))
    found = [*_contrast_findings(pd.concat(tables.values())), *_point_findings(run)]
    findings = write_findings(run, "masks", found)
    table = tables["filtered"].drop(columns=NO_CONTRAST, errors="ignore")
    table["licence"] = load("samgen.predictors").licence_of(run.config.masks.model)
    risk = judge_masks(run, sets["filtered"], [mask_files(run, "filtered")], drawn=table)
    table = table.drop(columns="risk").merge(risk[[*PLACE, "risk"]], on=PLACE, how="left")
    table = conform("masks", table)
    write_risk(run, risk)
    run.store.write("masks", table)
    cases = count(table["case"].nunique(), "case")
    means = table.groupby("label", sort=False)[["area_px", "pairwise_dice", "box_iou", "risk"]]
    counts = table.groupby("label", sort=False).size().rename("n")
    return Result(
        table=table,
        shown=pd.concat([counts, means.mean()], axis=1).reset_index(),
        summary=" ".join(
            [f"{count(len(table), 'mask')} of {cases} in masks/.", *(f.message for f in findings)]
        ),
        files=["masks.csv", "masks", RISK, "masks.findings.jsonl"],
        findings=findings,
    )


def draw_shard(run: Run, shard: tuple[int, int]) -> Result:
    """Draw the masks of a part of the cases, beside processes that draw the others.

    Nothing but masks, their records and what is measured of them is written: `masks` makes the
    tables once all are there.

    Parameters
    ----------
    run : Run
        The study, whose gate has decided.
    shard : tuple of int
        Number of the part, from 1, and how many parts there are.

    Returns
    -------
    Result
        Rows of the table ``masks`` of these cases.
    """
    run.store.claim_part("masks-{}of{}".format(*shard))
    task = mask_task(run, cache=run.store.path("embeddings"))
    sets = mask_prompts(run)
    own = shard_cases(pd.concat(sets.values()), shard)
    tables = [
        _draw(run, task, name, prompts=one[one["case"].isin(own)]) for name, one in sets.items()
    ]
    table = pd.concat(tables, ignore_index=True).drop(columns=NO_CONTRAST, errors="ignore")
    measure_masks(run, sets["filtered"], [mask_files(run, "filtered")], cases=own)
    cases = sorted(set(table["case"]))
    return Result(
        table=table,
        shown=table.groupby(["case", "label"], sort=False).size().rename("n").reset_index(),
        summary="Shard {} of {}: ".format(*shard) + f"masks of {count(len(cases), 'case')}.",
    )


def _contrast_findings(table: pd.DataFrame) -> list[Finding]:
    """That objects got no mask because their pictures show nothing: one for each case and label.

    Parameters
    ----------
    table : DataFrame
        Table ``masks``, as `samgen.generate.generate_masks` returns it.

    Returns
    -------
    list of Finding
    """
    if NO_CONTRAST not in table:
        return []
    blind = table[table[NO_CONTRAST].notna()].drop_duplicates(PLACE)
    return [
        Finding(
            check="mask-no-contrast",
            message=f"{label} has no mask on {count(len(rows), 'slice')} of case {case}: [images] "
            "window leaves one grey value in the box and round it. Choose a window that shows it.",
            case=str(case),
            label=str(label),
            value=float(len(rows)),
            unit="slices",
        )
        for (case, label), rows in blind.groupby(["case", "label"], sort=False)
    ]


def mask_prompts(run: Run) -> dict[str, pd.DataFrame]:
    """Set of masks -> its fused boxes, with those of the raters who may support it."""
    manifest = read_manifest(run)
    consensus = run.store.read("consensus")
    prompts = {
        "filtered": manifest.prompt_table(),
        "unfiltered": consensus[consensus["state"].isin(USABLE)],
    }
    rejected = [one["rater"] for one in manifest.raters if one["verdict"] == Verdict.REJECT]

    def of_set(name: str, drawn: pd.DataFrame) -> pd.DataFrame:
        """What was drawn by raters who may speak for a set of masks."""
        who = person(drawn, run.config.annotations.rater_scope)
        return drawn[~who.isin(rejected)] if name == "filtered" else drawn

    points = _raters_points(run)
    if len(points) and _draws_from_points(run.config):
        prompts = {
            name: with_points(table, of_set(name, points))[0] for name, table in prompts.items()
        }
    if _prompt_boxes(run.config) == "fused":
        return prompts
    boxes, iou = run.store.read("boxes"), run.config.match.iou
    return {
        name: with_members(table, of_set(name, boxes), iou=iou) for name, table in prompts.items()
    }


def _raters_points(run: Run) -> pd.DataFrame:
    """The table ``points``; empty where an earlier version checked the study."""
    return run.store.read("points") if run.store.has("points") else empty("points")


def _draws_from_points(config: Config) -> bool:
    """Whether one of the models looks at points; the study that crowdqc grew out of had none."""
    names = filter(None, (config.masks.model, config.masks.second_model))
    takes = load("samgen.predictors").takes_points
    return config.masks.mode != "paper" and any(map(takes, names))


def _point_findings(run: Run) -> list[Finding]:
    """That points prompt nothing: all, or those where no fused box of their label lies."""
    points = _raters_points(run)
    if points.empty:
        return []
    if not _draws_from_points(run.config):
        return [
            Finding(
                check="points-not-used",
                message=f"{count(len(points), 'point')} of raters are not used: "
                f"'{run.config.masks.model}' draws from boxes alone.",
                value=float(len(points)),
            )
        ]
    consensus = run.store.read("consensus")
    _, unused = with_points(consensus[consensus["state"].isin(USABLE)], points)
    return [
        Finding(
            check="point-without-box",
            message=f"{count(len(rows), 'point')} of {rater} in case {case} prompt nothing: no "
            f"fused box of {label} on the slice, or none that holds a point on it (first: slice "
            f"{rows['slice'].iloc[0]}).",
            case=str(case),
            rater=str(rater),
            label=str(label),
            value=float(len(rows)),
            source=str(rows["source"].iloc[0]) or None,
        )
        for (case, rater, label), rows in unused.groupby(["case", "rater", "label"], sort=False)
    ]


def _draw(run: Run, task: Any, name: str, *, prompts: pd.DataFrame) -> pd.DataFrame:
    """Draw one set of masks."""
    out = run.store.path(SETS[name])
    with run.watch(f"Slices, {name}") as progress:
        table: pd.DataFrame = load("samgen.generate").generate_masks(
            prompts,
            task,
            images=image_files(run.config),
            out=out,
            engine=_engine(run.config),
            say=lambda text: run.say(f"{text} ({name})"),
            progress=progress,
        )
    return table


def mask_task(run: Run, *, cache: Path | None) -> Any:
    """What `samgen` is to do.

    Parameters
    ----------
    run : Run
        An opened study whose gate is done.
    cache : Path or None
        Where SAM keeps its embeddings; nowhere if `None`.
    """
    config = run.config
    refuse_licences(config)
    first, second = _predictors(config, cache)
    return load("samgen.generate").Task(
        labels=config.label_values,
        predictor=first,
        second=second,
        settings=mask_settings(config),
        empty=known_empty(run.store.read("readings"), run.store.read("consensus")),
    )


def adapted_files(config: Config) -> list[Path]:
    """Files of the adapted models that ``[masks]`` names, with their cards."""
    cards = load("samgen.cards")
    named = filter(None, (config.masks.model, config.masks.second_model))
    found = [Path(name).expanduser() for name in named if cards.names_adapted(name)]
    return [path for one in found for path in (one, cards.card_path(one))]


def refuse_licences(config: Config) -> None:
    """Refuse weights whose licence ``[masks] allow_licences`` does not name.

    Raises
    ------
    InputError
        Naming the model and its licence.
    """
    section = config.masks
    for model in filter(None, (section.model, section.second_model)):
        licence = load("samgen.predictors").licence_of(model)
        if licence and licence not in section.allow_licences:
            raise InputError(
                f"{config.file}: the weights of '{model}' have the licence {licence}, which "
                f"[masks] allow_licences does not name. It may bind what is made with them, masks "
                f"and models trained on these among it: read it, and add '{licence}' to the list."
            )


def mask_settings(config: Config) -> Any:
    """Settings of `samgen`, from the study file."""
    settings = load("samgen.settings")
    return settings.MaskSettings(
        plane=config.images.plane,
        resample=config.images.resample,
        picture=config.images.picture,
        window=config.images.window,
        prompts=settings.PromptSettings(
            n_prompts=_n_prompts(config),
            prompt_boxes=_prompt_boxes(config),
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
    ours |= {f".{case}.json{SEAL}" for case in cases}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_file() and path.name not in ours:
            path.unlink()


def _n_prompts(config: Config) -> int:
    """Prompts per object: the study that crowdqc grew out of had the box itself and no other."""
    return 1 if config.masks.mode == "paper" else config.masks.prompts


def _prompt_boxes(config: Config) -> str:
    """Which boxes prompts are made from; the one prompt of the paper's mode is the fused box."""
    return "fused" if config.masks.mode == "paper" else config.masks.prompt_boxes


def _predictors(config: Config, cache: Path | None) -> tuple[Any, Any]:
    """The model that ``[masks] model`` names, and the second one, or None.

    What a model keeps between runs is in `cache`. The models are loaded when and where they are
    first used; then there is an `InputError` if there is no such model, or no weights are here.
    """
    lazy = load("samgen.predictor").LazyPredictor
    cache = None if cache is None else cache.absolute()
    names = (config.masks.model, config.masks.second_model)
    first, second = (name and lazy(partial(_predictor, name, config, cache)) for name in names)
    return first, second


def _predictor(name: str, config: Config, cache: Path | None) -> Any:
    request = load("samgen.predictor").ModelRequest(
        model=name,
        cache=cache,
        **config.masks.model_dump(
            include={"mode", "device", "precision", "memory_slices", "picture_px"}
        ),
    )
    return load("samgen.predictors").open_predictor(request)


def _engine(config: Config) -> Engine:
    """Where masks are drawn, with a GPU for each worker where the model uses one."""
    section = config.masks
    names = [name for name in (section.model, section.second_model) if name]
    if section.device == "cpu" or not any(map(load("samgen.predictors").uses_gpu, names)):
        return open_engine(config.engine, gpus=0)
    return open_engine(config.engine, gpus=None if section.device == "auto" else 1)
