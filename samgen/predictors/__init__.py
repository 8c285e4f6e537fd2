"""The models that draw masks from boxes, one module each, and how one is found by its name.

A model is a class that is registered as an entry point of the group ``crowdqc.predictors``, by
this package or by another one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from crowdqc import plugins
from crowdqc.findings import InputError
from crowdqc.text import must_be_one_of
from samgen.cards import find_adapted
from samgen.checkpoints import CHECKPOINTS
from samgen.predictor import BoxPredictor, ModelRequest
from samgen.volume_predictor import VolumePredictor

GROUP: plugins.Group = "crowdqc.predictors"
DERIVED = ("medsam2", "nninteractive")
"""Models whose licence holds for weights that were made from them, too."""
POINTS = ("sam", "nninteractive")
"""Beginnings of names of crowdqc's own models that draw from points; they need not be loaded."""
BOXES_ALONE = ("medsam", "medsam2")
"""Models that were trained with boxes alone."""
PATHS = "sam"
"""Model that a bare path of a checkpoint belongs to."""


def open_predictor(request: ModelRequest) -> BoxPredictor | VolumePredictor:
    """Open the model that a study names.

    Parameters
    ----------
    request : ModelRequest
        Its `model` is a name of the group ``crowdqc.predictors``, such a name with a file
        (``NAME:FILE``), the path of a checkpoint of SAM, or that of an adapted model.

    Raises
    ------
    InputError
        If there is no such model or file, what is registered is no model, or the model
        cannot be opened.
    """
    adapted = find_adapted(request.model)
    model = adapted.model if adapted else request.model
    name, weights = _split(model)
    asked = replace(request, model=model, weights=weights, adapted=adapted)
    found = plugins.load(GROUP, name)
    opened = found.open(asked) if hasattr(found, "open") else found
    if not isinstance(opened, BoxPredictor | VolumePredictor):
        raise InputError(
            f"'model' must be a BoxPredictor or a VolumePredictor; {name!r} is registered as "
            f"{type(opened).__name__}, which lacks some of its methods. Ask the package that "
            "registers it for a newer one."
        )
    return opened


def licence_of(model: str) -> str:
    """SPDX identifier of the licence of a model's weights; empty: none, or the user's own."""
    adapted = find_adapted(model)
    if adapted is not None:
        return adapted.licence
    published = CHECKPOINTS.get(model)
    if published is not None:
        return published.licence
    name, _ = _split(model)
    if name in DERIVED:
        return CHECKPOINTS[name].licence
    return str(getattr(plugins.load(GROUP, name), "licence", ""))


def takes_points(model: str) -> bool:
    """Whether a model draws from points beside boxes, as far as its name tells."""
    adapted = find_adapted(model)
    name, _ = _split(adapted.model if adapted else model)
    if name in BOXES_ALONE:
        return False
    return (
        name.startswith(POINTS) or getattr(plugins.load(GROUP, name), "takes_points", False) is True
    )


def uses_gpu(model: str) -> bool:
    """Whether a model computes on a GPU; one that cannot be imported here may elsewhere."""
    adapted = find_adapted(model)
    name, _ = _split(adapted.model if adapted else model)
    try:
        return bool(getattr(plugins.load(GROUP, name), "uses_gpu", True))
    except InputError:
        return True


def _split(model: str) -> tuple[str, Path | None]:
    """The registered name and the file of a model."""
    known = plugins.names(GROUP)
    name, _, file = model.partition(":")
    if name in known:
        return name, Path(file).expanduser() if file else None
    if not Path(model).expanduser().is_file():
        message = must_be_one_of("'model'", model, known)
        raise InputError(
            f"{message} Or give NAME:FILE, or the path of "
            "a checkpoint of SAM; there is no such file."
        )
    return PATHS, Path(model).expanduser()


__all__ = ["open_predictor", "uses_gpu"]
