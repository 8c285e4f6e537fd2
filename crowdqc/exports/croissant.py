"""Tables of a study, described in Croissant 1.1 with its vocabulary for responsible AI.

``croissant.json`` names every table, its hash and each of its columns, and says of the annotation
how many people drew, on what, and how far they agreed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd

from crowdqc.csv_files import to_csv
from crowdqc.exports.archive import Archive, loss
from crowdqc.findings import Finding
from crowdqc.schema import column_of
from crowdqc.text import count

TABLES = {
    "images": "Slices and pictures that were annotated.",
    "readings": "Which rater read which slice, and what is known of it.",
    "boxes": "Boxes of the raters, in px.",
    "raters": "Agreement and reliability of each rater.",
    "consensus": "Fused boxes, with their spread and who drew them.",
    "completeness": "What of each label is there, by case and rater.",
    "masks": "Masks that were drawn, by slice.",
    "risk": "How likely each mask is wrong.",
}
"""Table -> what it holds."""
_TYPES = {"text": "sc:Text", "int": "sc:Integer", "float": "sc:Float", "bool": "sc:Boolean"}
_OWN = (
    "arrayShape citeAs column containedIn equivalentProperty extract field fileProperty fileObject "
    "fileSet format includes isArray isLiveDataset jsonPath key md5 parentField path recordSet "
    "references regex repeated replace samplingRate separator source subField transform"
)
"""Terms of the vocabulary of Croissant."""
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in _OWN.split()},
}


def write_croissant(archive: Archive, folder: Path) -> list[Finding]:
    """Write the tables that are there, and their description.

    Parameters
    ----------
    archive : Archive
        Tables that it lacks, or that are empty, are left out.
    folder : Path
        Empty; as of `crowdqc.exports.export`.

    Returns
    -------
    list of Finding
        What Croissant cannot hold.
    """
    files, record_sets = [], []
    for name, about in TABLES.items():
        table = archive.tables.get(name)
        if table is None or table.empty:
            continue
        data = to_csv(table).encode()
        (folder / f"{name}.csv").write_bytes(data)
        files.append(_file(name, data))
        record_sets.append(_record_set(name, about, table))
    content = {**_about(archive), "distribution": files, "recordSet": record_sets}
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (folder / "croissant.json").write_text(text, encoding="utf-8")
    return _losses(archive)


def _about(archive: Archive) -> dict[str, Any]:
    publication = archive.publication
    made = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [
            "http://mlcommons.org/croissant/1.1",
            "http://mlcommons.org/croissant/RAI/1.0",
        ],
        "name": archive.name,
        "description": publication.description
        or f"Boxes of several raters in the study {archive.name}.",
        "version": publication.version,
        "license": publication.license,
        "url": publication.url,
        "citeAs": publication.cite,
        "datePublished": publication.date,
        "creator": [{"@type": "sc:Person", "name": name} for name in publication.creators],
        "rai:dataAnnotationPlatform": publication.platform,
        "rai:dataAnnotationProtocol": publication.protocol,
        "rai:annotatorDemographics": publication.demographics,
        **_annotation(archive),
    }
    return {key: value for key, value in made.items() if value not in ("", [])}


def _annotation(archive: Archive) -> dict[str, Any]:
    """What the tables say of the annotation."""
    readings, raters = archive.tables["readings"], archive.tables.get("raters")
    each = readings.groupby(["case", "slice"])["rater"].nunique()
    people = count(readings["rater"].nunique(), "rater")
    analysis = f"{people} drew {count(len(archive.tables['boxes']), 'box')}."
    if raters is not None and raters["agreement"].notna().any():
        low, middle, high = raters["agreement"].quantile([0.0, 0.5, 1.0])
        analysis += (
            f" Agreement of a rater with the others (F1 of boxes, crowdqc {archive.version}): "
            f"median {middle:.3f}, from {low:.3f} to {high:.3f}."
        )
    return {
        "rai:annotationsPerItem": f"{each.median():g} raters a slice ({each.min()} to {each.max()})"
        if len(each)
        else "",
        "rai:dataAnnotationAnalysis": analysis,
        "rai:machineAnnotationTools": [f"crowdqc {archive.version}", *archive.models.split(", ")]
        if archive.models
        else [f"crowdqc {archive.version}"],
    }


def _file(name: str, data: bytes) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": f"{name}.csv",
        "name": f"{name}.csv",
        "contentUrl": f"{name}.csv",
        "encodingFormat": "text/csv",
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def _record_set(name: str, about: str, table: pd.DataFrame) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": about,
        "field": [_field(name, column) for column in table.columns],
    }


def _field(table: str, name: str) -> dict[str, Any]:
    column = column_of(table, name)
    text = ". ".join(part for part in (column.title, column.about) if part)
    unit = f" [{column.unit}]" if column.unit not in ("", "1") else ""
    return {
        "@type": "cr:Field",
        "@id": f"{table}/{name}",
        "name": name,
        "description": (text or name) + unit,
        "dataType": _TYPES[column.kind],
        "source": {"fileObject": {"@id": f"{table}.csv"}, "extract": {"column": name}},
    }


def _losses(archive: Archive) -> list[Finding]:
    publication = archive.publication.model_fields_set
    wanted = ["license", "url", "cite", "date", "creators", "demographics", "platform"]
    missing = [name for name in wanted if name not in publication]
    found = [loss("Images and masks are not among the files: Croissant describes the tables only.")]
    if missing:
        found.append(
            loss(
                f"[publication] of the study file says nothing of {', '.join(missing)}, which "
                "whoever finds the data set looks for."
            )
        )
    return found
