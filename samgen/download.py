"""Fetching checkpoints: resumable, with progress, and checked. Needs pooch, but not torch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from crowdqc.files import no_link
from crowdqc.findings import InputError
from samgen.checkpoints import UNPUBLISHED, Checkpoint
from samgen.weights import verify_checkpoint

BLOCK = 1 << 20

Progress = Callable[[int, int], object]
"""Called with the bytes that are there and the bytes that there will be (0: not known)."""


def download_checkpoint(
    checkpoint: Checkpoint, folder: Path, *, progress: Progress | None = None
) -> Path:
    """Download a checkpoint, going on where a broken download stopped, and check its hash.

    Parameters
    ----------
    checkpoint : Checkpoint
        What to fetch, all its files; one that is there and right is not fetched again.
    folder : Path
        Where to put it; made where it is missing.
    progress : callable, optional
        Called with the bytes that are there and the bytes that there will be.

    Returns
    -------
    path : Path
        The file of the weights.

    Raises
    ------
    InputError
        If one cannot be fetched, or has another hash than the known one (with both).
    """
    for name, (url, digest) in checkpoint.files.items():
        path = folder / name
        if path.is_file():
            verify_checkpoint(path, digest)
            continue
        try:
            _fetch(url, path, digest=digest, progress=progress or _be_silent)
        except ValueError as error:  # pooch's word for a wrong hash; it names both
            raise InputError(f"{url}: {error}") from error
        except OSError as error:  # requests' errors are among them
            raise InputError(
                f"{url}: cannot be downloaded to {path} ({error}). Run the command again "
                "to go on where it stopped, or fetch the file on another machine "
                f"({checkpoint.megabytes} MB in all, {digest}) and put it there."
            ) from error
    return folder / checkpoint.file


def _fetch(url: str, path: Path, *, digest: str, progress: Progress) -> None:
    pooch = _import_pooch()
    path.parent.mkdir(parents=True, exist_ok=True)
    pooch.retrieve(
        url=url,
        known_hash=None if digest == UNPUBLISHED else digest,
        fname=path.name,
        path=path.parent,
        downloader=_Resumer(path.with_name(f"{path.name}.part"), progress),
    )


def _import_pooch() -> Any:
    try:
        import pooch
    except ImportError as error:
        raise InputError(
            "Downloading weights needs the package 'pooch': pip install 'crowdqc[sam]'."
        ) from error
    pooch.get_logger().setLevel(logging.WARNING)
    return pooch


def _be_silent(have: int, total: int) -> None:
    """Progress that nobody watches."""


def _refuse_plain(response: Any, **_: object) -> None:
    """Follow no redirect from an encrypted connection to one that anybody may change."""
    target = urljoin(response.url, response.headers.get("Location", ""))
    if response.is_redirect and response.url.startswith("https:") and target[:6] != "https:":
        raise OSError(f"it redirects to {target}, which is not encrypted")


class _Resumer:
    """A downloader for pooch that keeps what it has when the connection breaks."""

    def __init__(self, part: Path, progress: Progress) -> None:
        self.part = part
        self.progress = progress

    def __call__(self, url: str, output_file: str, _: object) -> None:
        import requests

        have = self.part.stat().st_size if self.part.exists() else 0
        ask = {"Range": f"bytes={have}-"} if have else {}
        hooks = {"response": _refuse_plain}
        with requests.get(url, headers=ask, stream=True, timeout=30, hooks=hooks) as response:
            if response.status_code != requests.codes.requested_range_not_satisfiable:
                response.raise_for_status()
                self._append(response, have)
        self.part.replace(output_file)

    def _append(self, response: Any, have: int) -> None:
        goes_on = response.status_code == 206  # a server may send all of it again
        have = have if goes_on else 0
        total = have + int(response.headers.get("Content-Length", 0))
        with open(self.part, "ab" if goes_on else "wb", opener=no_link) as file:
            for block in response.iter_content(BLOCK):
                file.write(block)
                have += len(block)
                self.progress(have, max(total, have))
