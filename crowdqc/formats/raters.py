"""Who drew: said by the path, by the file, by the label, or once for all."""

from __future__ import annotations

from crowdqc.config import Config
from crowdqc.findings import InputError
from crowdqc.formats import patterns


def check_raters(config: Config, *, file_says: bool = False) -> None:
    """Refuse a study file that says twice, or not at all, who drew.

    Parameters
    ----------
    config : Config
        The study file.
    file_says : bool
        Whether files of this format may name the rater themselves.

    Raises
    ------
    InputError
        If it says both `{rater}` and a rater, or nobody for some label.
    """
    annotations = config.annotations
    in_path = patterns.has(annotations.path, "rater")
    if in_path and (annotations.rater or annotations.rater_of):
        raise InputError(
            f"{config.file}: 'annotations.path' names the rater by {{rater}}, so "
            "'annotations.rater' and 'annotations.rater_of' must go."
        )
    nobody = [name for name in config.label_names if name not in annotations.rater_of]
    if not in_path and not annotations.rater and nobody and not file_says:
        raise InputError(
            f"{config.file}: it is not said who drew {', '.join(nobody)}. Put {{rater}} into "
            "'annotations.path', or give 'annotations.rater_of' (label = rater) or "
            "'annotations.rater' (one for all)."
        )


def asked(config: Config) -> dict[str, str]:
    """Rater -> labels that the study file says were asked of them ("" for all of them).

    Empty where only the path or the file tells who drew.
    """
    annotations = config.annotations
    if not annotations.rater_of:
        return {annotations.rater: ""} if annotations.rater else {}
    labels: dict[str, list[str]] = {}
    for label in config.label_names:
        rater = annotations.rater_of.get(label) or annotations.rater
        if rater:
            labels.setdefault(rater, []).append(label)
    return {rater: " ".join(names) for rater, names in labels.items()}
