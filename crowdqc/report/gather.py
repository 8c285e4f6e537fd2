"""From a folder of results to what a report says."""

from __future__ import annotations

import crowdqc
from crowdqc.assignments.history import NAME as HISTORY
from crowdqc.assignments.history import read_history
from crowdqc.config import Config
from crowdqc.report import summary
from crowdqc.report.agreement import agreement_section, pairs_section
from crowdqc.report.caution import Caution
from crowdqc.report.completeness import completeness_section
from crowdqc.report.content import ReportContent
from crowdqc.report.effect import effect_section
from crowdqc.report.findings import findings_section, provenance_section
from crowdqc.report.fusion import fusion_section
from crowdqc.report.gate import gate_section
from crowdqc.report.glossary import glossary_section
from crowdqc.report.masks import masks_section
from crowdqc.report.pictures import MAX_PICTURES, SliceSource, pictures
from crowdqc.report.progress import progress_section
from crowdqc.report.raters import raters_section
from crowdqc.report.results import cleaner, read_results
from crowdqc.report.side_by_side import place_of, side_by_side_section
from crowdqc.report.slice_files import VolumeSlices
from crowdqc.report.steps import steps
from crowdqc.schema import empty
from crowdqc.store import Store

MAX_EMPTY = 8
"""Pictures of boxes on no image at most: there is less to see."""


def gather(
    store: Store,
    config: Config | None = None,
    *,
    slice_source: SliceSource | None = None,
    n_pictures: int = MAX_PICTURES,
    other: Store | None = None,
    caution: Caution | None = None,
) -> ReportContent:
    """Arrange what a folder of results holds for a report.

    Parameters
    ----------
    store : Store
        The folder. Any table may be absent: its section then names the command that makes it.
    config : Config, optional
        The study file: gives the order of labels, and images where it names some.
    slice_source : SliceSource, optional
        Shows slices; by default the images of `config` and the masks in the folder.
    n_pictures : int, optional
        Number of pictures of slices at most.
    other : Store, optional
        Results to compare with: of another study, or of this one on another date.
    caution : Caution, optional
        Stages whose results are out of date or were made elsewhere: marked wherever they show.

    Returns
    -------
    ReportContent
        Without absolute paths. The same folder gives the same content.

    Raises
    ------
    InputError
        If a file in the folder is damaged.
    """
    results = read_results(store, config)
    if slice_source is None and config is not None:
        slice_source = VolumeSlices(store, config, results.table("images"))
    drawn = pictures(results, slice_source, limit=n_pictures)
    if not any(picture.image and picture.image.uri for picture in drawn):
        drawn = drawn[:MAX_EMPTY]
    clean = cleaner(store, config)
    contrast = (
        []
        if other is None
        else [side_by_side_section(results, read_results(other), place_of(other.folder))]
    )
    path = None if config is None else config.file.parent / HISTORY
    history = empty("history") if path is None else read_history(path)
    progress = [one] if (one := progress_section(results, history)) else []
    problems = tuple(clean(text) for text in getattr(slice_source, "problems", ()))
    content = ReportContent(
        study=results.study,
        version=crowdqc.__version__,
        verdict=summary.verdict(results),
        headline=summary.headline(results),
        lead=summary.lead(results),
        steps=steps(results),
        facts=summary.facts(results),
        sections=(
            raters_section(results),
            pairs_section(results),
            agreement_section(results),
            completeness_section(results),
            *progress,
            fusion_section(results),
            gate_section(results),
            masks_section(results, drawn, problems),
            effect_section(results),
            *contrast,
            findings_section(results),
            provenance_section(results),
            glossary_section(),
        ),
    )
    return (caution or Caution()).applied(content)
