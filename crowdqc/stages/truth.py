"""The expert masks of a study: where they are, and what their values mean."""

from __future__ import annotations

from pathlib import Path

from crowdqc.config import Config
from crowdqc.stages.images import case_files


def truth_values(config: Config) -> dict[str, int]:
    """Label -> its value in the expert masks."""
    own = {label.name: label.value for label in config.labels.values()}
    return own | (config.truth.values if config.truth else {})


def truth_files(config: Config) -> dict[str, Path]:
    """Case -> expert mask; empty where the study has none."""
    if config.truth is None or config.truth.path is None:
        return {}
    return case_files(config, config.truth.path)
