"""The folder of results: where every stage reads what others wrote and writes its own.

Files appear whole or not at all. ``crowdqc.json`` says which study the folder belongs to, in
which format version, and for each stage from which inputs it was last run, so that a stage
whose inputs are unchanged need not run again, and results of another study are never touched.
Whoever writes holds the folder's lock; what a killed process left half done is swept away.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

import crowdqc
from crowdqc.files import PART, STATE, atomic
from crowdqc.findings import Finding, InputError, dump_findings, read_findings
from crowdqc.lock import NAME as LOCK
from crowdqc.lock import FolderLock
from crowdqc.schema import TABLES, conform

FORMAT_VERSION = 1
"""Version of the layout of the folder and of the tables in it."""

_UNLOCKED = ("nnUNet_preprocessed", "nnUNet_results")
"""What a training fills for days, without the lock: other commands go on meanwhile."""


class Store:
    """Results of one study in one folder.

    Parameters
    ----------
    folder : Path
        Made when something is first written.
    study : str
        Name of the study. A folder that carries another study's name is refused.

    Raises
    ------
    InputError
        If the folder belongs to another study, has another format version, or is no folder.
    """

    def __init__(self, folder: Path, study: str) -> None:
        self.folder = Path(folder)
        self.study = study
        self._lock = FolderLock(self.folder)
        self._refuse_strangers()

    @classmethod
    def found(cls, folder: Path) -> Store:
        """The results in a folder, of whatever study they are.

        Raises
        ------
        InputError
            If the folder holds no results.
        """
        study = _read_state(Path(folder) / STATE).get("study")
        if study is None:
            raise InputError(
                f"{folder}: holds no results of crowdqc (no {STATE}). Name the folder that is "
                "[study] out of a study."
            )
        return cls(folder, str(study))

    @property
    def written_by(self) -> str | None:
        """Version of crowdqc that wrote here last; `None` where none did."""
        version = self._state().get("crowdqc")
        return None if version is None else str(version)

    def claim(self) -> None:
        """Make the folder ours to write in, for as long as this object lives.

        Raises
        ------
        InputError
            If another process writes in it, or the folder cannot be made.
        """
        if self._lock.held:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be made: {error.strerror}.") from error
        self._lock.acquire()
        self._refuse_strangers()  # again: another study may have been quicker
        self._sweep()
        if not self.path(STATE).exists():
            self._write_state({"format_version": FORMAT_VERSION, "study": self.study, "stages": {}})

    def release(self) -> None:
        """Let other processes write in the folder."""
        self._lock.release()

    def path(self, name: str) -> Path:
        """Path of a file in the folder."""
        return self.folder / name

    def has(self, table: str) -> bool:
        """Whether the named table was written."""
        return self.path(f"{table}.csv").exists()

    def read(self, table: str) -> pd.DataFrame:
        """Read a table of `crowdqc.schema.TABLES`.

        Raises
        ------
        InputError
            If it is not there, or is not the table it should be.
        """
        path = self.path(f"{table}.csv")
        text = {column.name: str for column in TABLES[table] if column.kind == "text"}
        try:
            frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=_missing(table))
            return conform(table, _with_numbers(frame, table))
        except FileNotFoundError as error:
            raise InputError(f"{path}: is not there; run the stage that writes it.") from error
        except ValueError as error:
            raise InputError(
                f"{path}: is not the table '{table}' ({error}). Run the stage that writes it again."
            ) from error

    def write(self, table: str, frame: pd.DataFrame) -> None:
        """Write a table: its own columns and types, floats to full precision."""
        text = conform(table, frame).to_csv(index=False, lineterminator="\n")
        self.write_text(f"{table}.csv", text)

    def read_findings(self, stage: str) -> list[Finding]:
        """Findings that a stage wrote; none where it wrote no file."""
        return read_findings(self.path(findings_file(stage)))

    def write_findings(self, stage: str, findings: Iterable[Finding]) -> None:
        """Write the findings of a stage as JSON lines, in their order."""
        self.write_text(findings_file(stage), dump_findings(findings))

    def write_text(self, name: str, text: str) -> None:
        """Write a text file of the folder atomically, as UTF-8."""
        self.claim()
        with atomic(self.path(name)) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")

    @contextlib.contextmanager
    def new_folder(self, name: str) -> Iterator[Path]:
        """A new folder that takes the place of `name` when the block ends well.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        self.claim()
        target = self.path(name)
        try:
            parts = Path(tempfile.mkdtemp(prefix=PART, dir=self.folder))
        except OSError as error:
            raise InputError(f"{target}: cannot be written: {error.strerror}.") from error
        new, old = parts / "new", parts / "old"
        try:
            new.mkdir()
            yield new
            if target.exists():
                target.replace(old)
            try:
                new.replace(target)
            except OSError:
                if old.exists():
                    old.replace(target)
                raise
        except OSError as error:
            raise InputError(f"{target}: cannot be written: {error.strerror or error}.") from error
        finally:
            shutil.rmtree(parts, ignore_errors=True)

    def stamp_of(self, stage: str) -> str | None:
        """Fingerprint of what `stage` was last finished with; `None` if it never was."""
        record = self._state().get("stages", {}).get(stage)
        if record is None or any(not self.path(f).exists() for f in record["files"]):
            return None
        return str(record["stamp"])

    def begin(self, stage: str) -> None:
        """Forget that `stage` was finished: until it is again, its files may be of two runs."""
        self.claim()
        state = self._state()
        if stage in state["stages"]:
            stages = {name: one for name, one in state["stages"].items() if name != stage}
            self._write_state({**state, "stages": stages})

    def set_stamp(self, stage: str, stamp: str, files: Iterable[str]) -> None:
        """Record that `stage` was finished with inputs of this fingerprint, writing `files`."""
        self.claim()
        state = self._state()
        stages = {**state["stages"], stage: {"stamp": stamp, "files": sorted(files)}}
        self._write_state({**state, "stages": stages})

    def _refuse_strangers(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder}: is a file; [study] out must be a folder.")
        state = self._state()
        if not state:
            self._refuse_foreign_files()
            return
        if state.get("format_version") != FORMAT_VERSION:
            raise InputError(
                f"{self.folder}: was written in format version {state.get('format_version')!r}; "
                f"this crowdqc writes {FORMAT_VERSION}. Choose another [study] out, or remove it."
            )
        if state.get("study") != self.study:
            raise InputError(
                f"{self.folder}: holds results of the study '{state.get('study')}', not of "
                f"'{self.study}'. Choose another [study] out, or remove it."
            )

    def _refuse_foreign_files(self) -> None:
        """A folder with files but without our state file is somebody else's."""
        if self.folder.is_dir() and any(not _is_ours(path.name) for path in self.folder.iterdir()):
            raise InputError(
                f"{self.folder}: is not empty and was not written by crowdqc (no {STATE}). "
                "Choose another [study] out, so that nothing of yours is overwritten."
            )

    def _sweep(self) -> None:
        """Remove what a process that was killed had not finished."""
        for folder, folders, files in os.walk(self.folder):
            folders[:] = [name for name in folders if name not in _UNLOCKED]
            for name in [name for name in folders if name.startswith(PART)]:
                folders.remove(name)
                shutil.rmtree(os.path.join(folder, name), ignore_errors=True)  # noqa: PTH118
            for name in [name for name in files if name.startswith(PART)]:
                Path(folder, name).unlink(missing_ok=True)

    def _state(self) -> dict[str, Any]:
        return _read_state(self.path(STATE))

    def _write_state(self, state: dict[str, Any]) -> None:
        text = json.dumps({**state, "crowdqc": crowdqc.__version__}, indent=1, sort_keys=True)
        with atomic(self.path(STATE)) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")


def _read_state(path: Path) -> dict[str, Any]:
    """What the state file says, if it is there; its stages are always of the right form."""
    if not path.is_file():
        return {}
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        stages = state.get("stages", {})
        if all(_is_record(record) for record in stages.values()):
            return {**state, "stages": stages}
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.") from error
    except (ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: is not ours or damaged ({error}); remove the folder.") from error
    raise InputError(f"{path}: holds a stage that is none; remove the folder.")


def _is_record(record: object) -> bool:
    files = record.get("files") if isinstance(record, dict) else None
    return isinstance(files, list) and all(isinstance(name, str) for name in files)


def _is_ours(name: str) -> bool:
    """Whether a file is one that we leave where we are killed before the first result."""
    return name == LOCK or name.startswith(PART)


def findings_file(stage: str) -> str:
    """Name of the file in which a stage writes its findings.

    Examples
    --------
    >>> findings_file("check"), findings_file("complete")
    ('findings.jsonl', 'complete.findings.jsonl')
    """
    return "findings.jsonl" if stage == "check" else f"{stage}.findings.jsonl"


def _with_numbers(frame: pd.DataFrame, table: str) -> pd.DataFrame:
    """`frame` with further columns, which may miss some numbers, as numbers where they are."""
    known = {column.name for column in TABLES[table]}
    for name in [name for name in frame if name not in known and frame[name].dtype.kind == "O"]:
        numbers = pd.to_numeric(frame[name].where(frame[name] != ""), errors="coerce")
        if (numbers.notna() == (frame[name] != "")).all():
            frame = frame.assign(**{name: numbers})
    return frame


def _missing(table: str) -> dict[str, list[str]]:
    """Only numbers may be missing: an empty text is the text "", and "NA" is a name."""
    return {c.name: ["", "nan"] for c in TABLES[table] if c.kind == "float"}
