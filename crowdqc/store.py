"""The folder of results: where every stage reads what others wrote and writes its own.

Files appear whole or not at all. ``crowdqc.json`` says which study the folder belongs to, in
which format version, and for each stage from which inputs it was last run and what it wrote, so
that a stage whose inputs and results are unchanged need not run again, results of another study
are never touched, and those of another person are known. No link in the folder is followed.
Whoever writes holds the folder's lock; what a killed process left half done is swept away.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

import crowdqc
from crowdqc.csv_files import read_table, write_csv
from crowdqc.files import JSON_BYTES_MAX, SEAL, Unreadable, read_text
from crowdqc.findings import Finding, InputError, dump_findings, parse_findings
from crowdqc.links import STATE, refuse_links
from crowdqc.lock import NAME as LOCK
from crowdqc.lock import FolderLock
from crowdqc.schema import conform
from crowdqc.state import FORMAT_VERSION, is_ours, read_state, signed
from crowdqc.trust import Hashes, seal
from crowdqc.writing import PART, atomic

_UNLOCKED = ("nnUNet_preprocessed", "nnUNet_results")
"""What a training fills for days, without the lock: other commands go on meanwhile."""
_MODELS = "nnUNet_results/*/*/fold_*/checkpoint_final.pth"
"""What no stage wrote and scores rest on."""


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
        self.hashes = Hashes(self.folder)
        self._lock = FolderLock(self.folder)
        self._changed: dict[str, list[str]] = {}
        self._refuse_strangers()

    @classmethod
    def found(cls, folder: Path) -> Store:
        """The results in a folder, of whatever study they are.

        Raises
        ------
        InputError
            If the folder holds no results.
        """
        study = read_state(Path(folder) / STATE).get("study")
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
        self._remove(lambda name: name.startswith(PART))  # what a killed process left
        if not self.path(STATE).exists():
            self._write_state({"format_version": FORMAT_VERSION, "study": self.study, "stages": {}})

    def claim_part(self, part: str) -> None:
        """Make a part of the work ours, beside processes that do other parts of it.

        Nothing is swept, and no record of a stage may be written, as long as others write too.

        Parameters
        ----------
        part : str
            Its name, such as ``masks-2of8``.

        Raises
        ------
        InputError
            If a process does this part, or writes in the folder as a whole.
        """
        self._lock = FolderLock(self.folder, part)
        self._lock.acquire()

    def release(self) -> None:
        """Let other processes write in the folder."""
        self._lock.release()

    def path(self, name: str) -> Path:
        """Path of a file in the folder.

        Raises
        ------
        InputError
            If it is a symbolic link, or lies behind one.
        """
        refuse_links(self.folder / name)
        return self.folder / name

    def has(self, table: str) -> bool:
        """Whether the named table was written."""
        return self.path(f"{table}.csv").exists()

    def read(self, table: str, *, without: Collection[str] = ()) -> pd.DataFrame:
        """Read a table of `crowdqc.schema.TABLES`; optional columns of `without` are left empty.

        Raises
        ------
        InputError
            If it is not there, or is not the table it should be.
        """
        path = self.path(f"{table}.csv")
        if not path.exists():
            raise InputError(f"{path}: is not there; run the stage that writes it.")
        return read_table(path, table, below=self.folder, without=without)

    def write(self, table: str, frame: pd.DataFrame) -> None:
        """Write a table: its own columns and types, floats to full precision."""
        with self.replacing(f"{table}.csv") as temporary:
            write_csv(conform(table, frame), temporary)

    def read_findings(self, stage: str) -> list[Finding]:
        """Findings that a stage wrote; none where it wrote no file."""
        path = self.path(findings_file(stage))
        if not path.exists():
            return []
        try:
            return parse_findings(read_text(path, JSON_BYTES_MAX, below=self.folder))
        except Unreadable as error:
            raise InputError(f"{path}: {error}") from error

    def write_findings(self, stage: str, findings: Iterable[Finding]) -> None:
        """Write the findings of a stage as JSON lines, in their order."""
        self.write_text(findings_file(stage), dump_findings(findings))

    def write_text(self, name: str, text: str) -> None:
        """Write a text file of the folder atomically, as UTF-8."""
        with self.replacing(name) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")

    @contextlib.contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """Path of a new file that takes the place of `name` when the block ends well."""
        self.claim()
        self._changed.clear()
        with atomic(self.path(name)) as temporary:
            yield temporary

    @contextlib.contextmanager
    def new_folder(self, name: str) -> Iterator[Path]:
        """A new folder that takes the place of `name` when the block ends well.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        self.claim()
        self._changed.clear()
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
        """Fingerprint of what `stage` was last finished with; `None` if it never was.

        Nor is it where a file that it wrote is gone.
        """
        record = self._record(stage)
        if record is None or any(not self.path(name).exists() for name in record["files"]):
            return None
        return str(record["stamp"])

    def changed(self, stage: str) -> list[str]:
        """Files that are not what `stage` wrote, by their SHA-256."""
        if stage not in self._changed:
            files = (self._record(stage) or {"files": {}})["files"]
            self._changed[stage] = [
                name for name, digest in files.items() if self.hashes.digest(name) != digest
            ]
        return self._changed[stage]

    def edited(self, stage: str) -> bool:
        """Whether the files of `stage` are not, or not known to be, what it wrote."""
        return self._record(stage) is None or bool(self.changed(stage))

    def untrusted(self, stage: str | None = None) -> list[str]:
        """Stages whose results this user did not make, and on which those of `stage` rest.

        Parameters
        ----------
        stage : str, optional
            One stage; none given: all that are on record.
        """
        stages = self._state().get("stages", {})
        found: set[str] = set()
        for name in [name for name in (stages if stage is None else [stage]) if stages.get(name)]:
            ours = is_ours(self.study, name, stages[name])
            found |= set(stages[name]["rests_on"]) if ours else {name}
        return sorted(found)

    def trust(self) -> None:
        """Take all that is on record, and is as it was written, for this user's own."""
        self.claim()
        for model in self.folder.glob(_MODELS):
            seal(model)
        state = self._state()
        for stage, record in state["stages"].items():
            if not self.changed(stage):
                state["stages"][stage] = signed(self.study, stage, {**record, "rests_on": []})
        self._write_state(state)

    def forget(self) -> None:
        """Forget that any stage was finished, and who wrote the parts of its result."""
        self.claim()
        self._changed.clear()
        self._remove(lambda name: name.endswith(SEAL))
        self._write_state({**self._state(), "stages": {}})

    def begin(self, stage: str) -> None:
        """Forget that `stage` was finished: until it is again, its files may be of two runs."""
        self.claim()
        self._changed.clear()
        state = self._state()
        if state["stages"].pop(stage, None) is not None:
            self._write_state(state)

    def set_stamp(
        self,
        stage: str,
        stamp: str,
        files: Iterable[str],
        *,
        needs: Iterable[str] = (),
        doubted: Iterable[str] = (),
    ) -> None:
        """Record that a stage was finished.

        Parameters
        ----------
        stage : str
            Its name.
        stamp : str
            Fingerprint of its inputs.
        files : iterable of str
            Files and folders that it wrote.
        needs : iterable of str
            Stages whose results it read.
        doubted : iterable of str
            Stages of which it read something that this user did not make.
        """
        self.claim()
        self._changed.clear()
        record = {
            "stamp": stamp,
            "files": {name: self.hashes.digest(name) for name in sorted(files)},
            "rests_on": sorted({*doubted, *(x for need in needs for x in self.untrusted(need))}),
        }
        self.renew(record["files"], {stage: signed(self.study, stage, record)})

    def renew(self, files: Iterable[str], more: Mapping[str, Any] | None = None) -> None:
        """Record that files which stages wrote before were written anew.

        Parameters
        ----------
        files : iterable of str
            Names of the files.
        more : mapping, optional
            Records of further stages.
        """
        self._changed.clear()
        new = {name: self.hashes.digest(name) for name in files}
        state = self._state()
        for stage, record in state["stages"].items():
            if new.keys() & record["files"].keys() and is_ours(self.study, stage, record):
                now = {name: new.get(name, digest) for name, digest in record["files"].items()}
                state["stages"][stage] = signed(self.study, stage, {**record, "files": now})
        self.hashes.save()
        self._write_state({**state, "stages": {**state["stages"], **(more or {})}})

    def _record(self, stage: str) -> dict[str, Any] | None:
        return self._state().get("stages", {}).get(stage)

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
        if self.folder.is_dir() and any(
            path.name != LOCK and not path.name.startswith(PART) for path in self.folder.iterdir()
        ):
            raise InputError(
                f"{self.folder}: is not empty and was not written by crowdqc (no {STATE}). "
                "Choose another [study] out, so that nothing of yours is overwritten."
            )

    def _remove(self, is_meant: Callable[[str], bool]) -> None:
        """Remove files and folders by their names, wherever they are."""
        for folder, folders, files in os.walk(self.folder):
            folders[:] = [name for name in folders if name not in _UNLOCKED]
            for name in filter(is_meant, list(folders)):
                folders.remove(name)
                shutil.rmtree(os.path.join(folder, name), ignore_errors=True)  # noqa: PTH118
            for name in filter(is_meant, files):
                Path(folder, name).unlink(missing_ok=True)

    def _state(self) -> dict[str, Any]:
        return read_state(self.path(STATE))

    def _write_state(self, state: dict[str, Any]) -> None:
        text = json.dumps({**state, "crowdqc": crowdqc.__version__}, indent=1, sort_keys=True)
        with atomic(self.path(STATE)) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")


def findings_file(stage: str) -> str:
    """Name of the file in which a stage writes its findings.

    Examples
    --------
    >>> findings_file("check"), findings_file("complete")
    ('findings.jsonl', 'complete.findings.jsonl')
    """
    return "findings.jsonl" if stage == "check" else f"{stage}.findings.jsonl"
