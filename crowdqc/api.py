"""What `import crowdqc` offers beyond the functions of single rooms: a study from end to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from crowdqc.config import load_config
from crowdqc.findings import Finding
from crowdqc.formats import read_study as read_annotations
from crowdqc.judge import Manifest
from crowdqc.schema import Study
from crowdqc.stages.images import known_images

__all__ = ["gate", "read_study", "run", "score_raters"]


def read_study(file: str | Path) -> tuple[Study, list[Finding]]:
    """Read the annotations that a study file names.

    Parameters
    ----------
    file : path
        The study file (TOML).

    Returns
    -------
    study : Study
        Everything that is sound.
    findings : list of Finding
        One for everything that is not, and for everything that was inferred.

    Raises
    ------
    InputError
        If nothing can be read, or the study file is wrong.

    Examples
    --------
    >>> from crowdqc.simulate.demo import make_boxes  # doctest: +SKIP
    """
    config = load_config(Path(file))
    return read_annotations(config, known_images(config))
