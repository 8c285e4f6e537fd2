"""The manifest: what was decided, from which inputs, and which boxes may be used.

It is the only door to masks. Whoever uses it checks that the files that it was made from are
still the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pydantic

import crowdqc
from crowdqc.files import Unreadable, opened, read_text, sha256
from crowdqc.findings import InputError, Reason, Verdict, Where
from crowdqc.judge.decide import Decision, by_case
from crowdqc.judge.policy import Judged, Policy
from crowdqc.schema import TABLES, SchemaError, conform

FORMAT_VERSION = 2
BYTES_MAX = 4_000_000_000
"""Most bytes of a manifest: a fused box takes 500."""
_PROMPTS = ' "prompts": [\n'
_ENDS = {" ],\n", " ]\n"}
"""Lines before and behind the list of prompts, of which each is a line."""


class _Checked(pydantic.BaseModel):
    """What a part of the file must look like; further keys are kept and not looked at."""

    model_config = pydantic.ConfigDict(strict=True, extra="allow")


class _Reason(_Checked):
    measure: str
    value: float | str | None
    op: str | None
    limit: float | str | None
    unit: str | None
    because: str
    where: dict[str, str | int]


class _Unit(_Checked):
    verdict: Verdict
    reasons: list[_Reason]


class _Rater(_Unit):
    rater: str


class _Case(_Unit):
    case: str
    labels: dict[str, _Unit]


class _Certificate(_Checked):
    unit: str
    limit: float
    confidence: float
    reached: bool
    lapsed: str
    bad_share_high: float | None
    n_missing: int
    graders: list[str]
    hashes: dict[str, str]


class _Record(_Checked):
    study: str
    created_from: dict[str, str]
    policy: dict[str, Any]
    verdict: Verdict
    raters: list[_Rater]
    cases: list[_Case]
    prompts: list[dict[str, Any]]
    counts: dict[str, int]
    certificate: _Certificate | None = None
    certificate_boxes: _Certificate | None = None
    reasons: list[_Reason] = []
    units: dict[str, list[dict[str, Any]]] = {}
    licences: list[str] = []


class Entry(NamedTuple):
    """Something that has a verdict: what it is, and why."""

    kind: str
    name: str
    unit: Where
    verdict: str
    reasons: list[dict[str, Any]]


def _decided(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"verdict": str(entry["verdict"]), "reasons": entry["reasons"]}


@dataclass(frozen=True)
class Manifest:
    """What `crowdqc gate` decided; the fields are the keys of the JSON file."""

    study: str
    created_from: dict[str, str]
    """File in the folder of results -> SHA-256."""
    policy: dict[str, Any]
    verdict: Verdict
    raters: list[dict[str, Any]]
    cases: list[dict[str, Any]]
    prompts: list[dict[str, Any]]
    """Rows of the table ``consensus`` that masks may use."""
    counts: dict[str, int]
    certificate: dict[str, Any] | None = None
    """What an audit found: `crowdqc.judge.make_certificate`. None where there was none."""
    certificate_boxes: dict[str, Any] | None = None
    """Of boxes, where both they and masks, of which `certificate` then is, were audited."""
    reasons: list[dict[str, Any]] = field(default_factory=list)
    """Why the study got its verdict: records of `Reason`, as in all the parts above."""
    units: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Boxes, slices and masks (keys ``box``, ``slice``, ``mask``) that were not accepted."""
    licences: list[str] = field(default_factory=list)
    """Of the weights behind the masks that were drawn: SPDX identifiers."""
    format_version: int = FORMAT_VERSION
    crowdqc: str = crowdqc.__version__

    def to_json(self) -> str:
        """JSON text, the same for the same manifest; an entry of a list is a line."""
        return "".join(self._parts())

    def write(self, path: Path) -> None:
        """Write `to_json`, some lines at a time: of millions of boxes it takes gigabytes."""
        with path.open("w", encoding="utf-8", newline="") as file:
            file.writelines(self._parts())

    def _parts(self) -> Iterator[str]:
        before = "{\n"
        for name, value in self.to_record().items():
            yield f"{before} {_json(name)}: "
            yield from _lines(value) if isinstance(value, list) else [_json(value, 1)]
            before = ",\n"
        yield "\n}\n"

    def to_record(self) -> dict[str, Any]:
        """The manifest as plain values; not to be changed, as it shares them."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def entries(self) -> Iterator[Entry]:
        """All that has a verdict: the study, raters, cases, each followed by its labels."""
        yield Entry("study", self.study, Where(), self.verdict.value, self.reasons)
        for one in self.raters:
            yield Entry("rater", one["rater"], Where(rater=one["rater"]), **_decided(one))
        for one in self.cases:
            case = one["case"]
            yield Entry("case", case, Where(case=case), **_decided(one))
            for label, inner in one["labels"].items():
                unit = Where(case=case, label=label)
                yield Entry("label", f"{case}/{label}", unit, **_decided(inner))

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Inverse of `to_json`.

        Raises
        ------
        InputError
            If `text` is no manifest, or one of another format version.
        """
        try:
            record = json.loads(text)
            version = record["format_version"]
            if version == FORMAT_VERSION:
                _Record.model_validate_json(text)
                return cls(**{**record, "verdict": Verdict(record["verdict"])})
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            message = f"Not a manifest: {place}: {first['msg']}. Run crowdqc gate again."
            raise InputError(message) from error
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise InputError(f"Not a manifest: {error}. Run crowdqc gate again.") from error
        raise InputError(
            f"The manifest has format version {version!r:.60}; this crowdqc reads "
            f"{FORMAT_VERSION}. Run crowdqc gate again."
        )

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """The manifest in a file.

        Raises
        ------
        InputError
            If it cannot be read; the file is named.
        """
        try:
            return cls.from_json(read_text(path, BYTES_MAX))
        except (Unreadable, InputError) as error:
            raise InputError(f"{path}: {error}") from error

    def prompt_table(self) -> pd.DataFrame:
        """`prompts` as the table ``consensus``.

        Raises
        ------
        InputError
            If they are no such table: somebody has edited the manifest.
        """
        names = [column.name for column in TABLES["consensus"]]
        try:
            return conform("consensus", pd.DataFrame(self.prompts, columns=names))
        except SchemaError as error:
            raise InputError(f"Not a manifest: prompts: {error} Run crowdqc gate again.") from error

    def accepted_cases(self) -> list[str]:
        """Cases that were not rejected."""
        return [one["case"] for one in self.cases if one["verdict"] != Verdict.REJECT]

    def check(self, folder: Path, *, but: Collection[str] = ()) -> None:
        """Refuse to go on where an input has changed since the gate decided.

        Parameters
        ----------
        folder : Path
            The folder of results.
        but : collection of str
            Inputs that may have changed.

        Raises
        ------
        InputError
            If a file is gone or has another hash; both hashes are named.
        """
        for name, digest in self.created_from.items():
            if name in but:
                continue
            path = folder / name
            found = sha256(path) if path.is_file() else "no such file"
            if found != digest:
                raise InputError(
                    f"{path}: has changed since the gate decided (SHA-256 {found}, in the "
                    f"manifest {digest}). Run crowdqc gate again."
                )


def read_outline(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """What a manifest says but for the boxes, and how many boxes of each case may be used.

    Parameters
    ----------
    path : Path
        The manifest. The boxes, which may be millions, are never held together.

    Returns
    -------
    record : dict
        Its keys but ``prompts``.
    boxes : dict of str to int
        Case -> number of its prompts, for cases that have some.

    Raises
    ------
    Unreadable
        If it is no JSON object of a manifest.
    """
    kept: list[str] = []
    boxes: Counter[str] = Counter()
    inside = False
    try:
        with opened(path, below=path.parent) as file:
            for line in map(bytes.decode, file):
                if inside and line not in _ENDS:
                    boxes[json.loads(line.rstrip(",\n"))["case"]] += 1
                    continue
                inside = line == _PROMPTS
                kept.append(line)
        record = json.loads("".join(kept))
        boxes.update(str(one["case"]) for one in record.pop("prompts", []))
    except json.JSONDecodeError as error:
        raise Unreadable(f"is not JSON ({error.msg}).") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Unreadable(f"is no manifest that can be read ({type(error).__name__}).") from error
    return record, dict(boxes)


def make_manifest(
    decision: Decision,
    prompts: pd.DataFrame,
    *,
    study: str,
    policy: Policy,
    created_from: Mapping[str, str],
    certificates: Mapping[str, Mapping[str, Any]] | None = None,
    licences: Iterable[str] = (),
) -> Manifest:
    """The manifest of a decision.

    Parameters
    ----------
    decision : Decision
    prompts : DataFrame
        Table ``consensus``: boxes that may be used where their label may be. Where boxes were
        judged, its index is that of their measures.
    study : str
        Name of the study.
    policy : Policy
        What it was decided by.
    created_from : mapping of str to str
        File -> SHA-256.
    certificates : mapping, optional
        Unit (mask, box) -> of its audit.
    licences : iterable of str
        Of the weights behind the masks that were drawn.

    Returns
    -------
    Manifest
        With the boxes that may be used.
    """
    kept = prompts[decision.usable(prompts)]
    verdicts = [judged.verdict for judged in decision.cases.values()]
    labels = by_case(decision)
    first, second = [*map(dict, (certificates or {}).values()), None, None][:2]
    return Manifest(
        study=study,
        created_from=dict(created_from),
        policy=policy.model_dump(mode="json"),
        verdict=decision.verdict,
        raters=[{"rater": name, **_record(one)} for name, one in decision.raters.items()],
        cases=[
            {
                "case": case,
                **_record(one),
                "labels": {label: _record(inner) for label, inner in labels[case].items()},
            }
            for case, one in decision.cases.items()
        ],
        prompts=_records(kept),
        counts={
            **{f"cases_{verdict}": verdicts.count(verdict) for verdict in Verdict},
            "prompts": len(kept),
            "prompts_withheld": len(prompts) - len(kept),
        },
        certificate=first,
        certificate_boxes=second,
        reasons=_reasons(decision.study.reasons),
        units={scope: _units(table) for scope, table in decision.fine.items()},
        licences=sorted(licences),
    )


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)


def _lines(rows: list[Any]) -> Iterator[str]:
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    for k, row in enumerate(rows):
        yield (",\n  " if k else "[\n  ") + encode(row)
    yield "\n ]" if rows else "[]"


def _record(judged: Judged) -> dict[str, Any]:
    return {"verdict": judged.verdict.value, "reasons": _reasons(judged.reasons)}


def _reasons(reasons: Iterable[Reason]) -> list[dict[str, Any]]:
    return [reason.to_record() for reason in reasons]


def _units(table: pd.DataFrame) -> list[dict[str, Any]]:
    return _records(table.assign(reasons=table["reasons"].map(_reasons)))


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values; nan, which JSON does not have, is null."""
    columns = [_plain(frame[name]) for name in frame.columns]
    names = list(frame.columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain(values: pd.Series) -> list[Any]:
    """A column as Python's own numbers and texts."""
    missing = values.isna().to_numpy()
    plain: list[Any] = values.tolist()
    for row in np.flatnonzero(missing).tolist():
        plain[row] = None
    return plain
