"""Checkpoints: where they come from, whether they are whole, what is in them.

Weights are never taken on trust: a known file must have its known hash, and any file is
read without unpickling objects. `torch` is imported where a file is opened, not before.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from crowdqc.files import Unreadable, opened, read_text
from crowdqc.findings import InputError
from crowdqc.text import visible
from crowdqc.writing import atomic
from samgen.checkpoints import CHECKPOINTS, UNPUBLISHED, Checkpoint, Family

if TYPE_CHECKING:
    import torch

FOLDER = "CROWDQC_WEIGHTS"
"""Environment variable that names the folder of checkpoints."""

CONTENTS = "model.safetensors"
"""Weights in a folder that `transformers` wrote."""
logger = logging.getLogger(__name__)


ARCHITECTURES = {(768, 12): "vit_b", (1024, 24): "vit_l", (1280, 32): "vit_h"}
"""(width, number of blocks) of the image encoder -> name of the architecture."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A checkpoint on this machine whose hash was seen to be right.

    Parameters
    ----------
    path : Path
        The file.
    family : {"sam", "medsam", "sam2", "medsam2", "nninteractive"}
        Which preprocessing and which heads belong to it.
    digest : str
        ``algorithm:hexadecimal`` of the file: part of the signature of whatever it makes.
    """

    path: Path
    family: Family
    digest: str


def weights_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Folder of checkpoints: ``CROWDQC_WEIGHTS``, else ``crowdqc/weights`` in the user's cache.

    Parameters
    ----------
    environ : mapping of str, optional
        Environment; the process's own, when it is not given.

    Examples
    --------
    >>> weights_folder({"CROWDQC_WEIGHTS": "/data/weights"}).as_posix()
    '/data/weights'
    """
    environ = os.environ if environ is None else environ
    if environ.get(FOLDER):
        return Path(environ[FOLDER]).expanduser()
    cache = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "crowdqc" / "weights"


def digest_of(path: Path, algorithm: str = "sha256") -> str:
    """Hash of a file as ``algorithm:hexadecimal``.

    Parameters
    ----------
    path : Path
        Any file; it is read in blocks.
    algorithm : str
        A name that `hashlib.new` knows.
    """
    try:
        with opened(path) as file:
            digest = hashlib.file_digest(file, partial(hashlib.new, algorithm))
    except Unreadable as error:
        raise InputError(f"{path}: {error}") from error
    return f"{algorithm}:{digest.hexdigest()}"


def verify_checkpoint(path: Path, digest: str) -> None:
    """Refuse a file that has another hash.

    Where that is no SHA-256, the SHA-256 of the first file that was right is kept beside it, and
    asked for from then on.

    Parameters
    ----------
    path : Path
        Of the weights.
    digest : str
        ``algorithm:hexadecimal``, or `UNPUBLISHED`.

    Raises
    ------
    InputError
        If it is another file, with both hashes.
    """
    if digest == UNPUBLISHED:
        _hold_to_first(path)
        return
    found = digest_of(path, digest.partition(":")[0])
    if found != digest:
        raise InputError(
            f"{path}: must have the hash {digest}; got {found}. The file is damaged or is not "
            "the published one: remove it and run `crowdqc weights` to download it again."
        )
    if not digest.startswith("sha256:"):
        _hold_to_first(path)


def _hold_to_first(path: Path) -> None:
    kept, found = path.with_name(f"{path.name}.sha256"), digest_of(path)
    try:
        first = read_text(kept, len(found) + 2).strip()
    except Unreadable:
        with contextlib.suppress(InputError), atomic(kept) as temporary:
            temporary.write_text(f"{found}\n", encoding="ascii")
        return
    if first != found:
        raise InputError(
            f"{path}: must have the hash {first}, as when it was first downloaded ({kept}); got "
            f"{found}. Remove both and run `crowdqc weights` to download it again."
        )


@dataclass(frozen=True, kw_only=True)
class State:
    """What is on this machine of a published checkpoint.

    Parameters
    ----------
    checkpoint : Checkpoint
        Which one.
    path : Path
        Where it is, or would be.
    state : {"missing", "damaged", "right"}
        ``"damaged"``: it has not the published hash.
    """

    checkpoint: Checkpoint
    path: Path
    state: Literal["missing", "damaged", "right"]


def list_weights(folder: Path | None = None) -> list[State]:
    """Every published checkpoint, and whether it is here; files that are here are hashed.

    Parameters
    ----------
    folder : Path, optional
        Where to look; `weights_folder()`, when not given.
    """
    folder = folder or weights_folder()
    return [_look_at(c, folder) for c in CHECKPOINTS.values()]


def _look_at(checkpoint: Checkpoint, folder: Path) -> State:
    path = folder / checkpoint.file
    if not all((folder / name).is_file() for name in checkpoint.files):
        return State(checkpoint=checkpoint, path=path, state="missing")
    try:
        _verify_files(checkpoint, folder)
        right = True
    except InputError:
        right = False
    return State(checkpoint=checkpoint, path=path, state="right" if right else "damaged")


def _verify_files(checkpoint: Checkpoint, folder: Path) -> None:
    for name, (_, digest) in checkpoint.files.items():
        verify_checkpoint(folder / name, digest)


def find_weights(model: str, folder: Path | None = None) -> Weights:
    """Find the weights of a model and check them.

    Parameters
    ----------
    model : str
        A name of `CHECKPOINTS`, or a path to a checkpoint. ``sam:PATH`` and ``medsam:PATH`` say
        how it was trained; a bare path that is no published file is taken for SAM, with a
        warning, because nothing inside a checkpoint tells the two apart.
    folder : Path, optional
        Where named checkpoints lie; `weights_folder()`, when not given.

    Raises
    ------
    InputError
        If there is no such file (with what to download, and where to put it), or if a published
        file does not have its published hash.
    """
    if model in CHECKPOINTS:
        return _find_published(CHECKPOINTS[model], folder or weights_folder())
    family, path = _split_family(model)
    if family == "nninteractive":
        return _folder_of_nnunet(path)
    if family in {"sam2", "medsam2"} and (path / CONTENTS).is_file():
        return Weights(path=path, family=family, digest=digest_of(path / CONTENTS))
    if not path.is_file():
        raise InputError(
            f"'model' must be one of {', '.join(CHECKPOINTS)}, sam:FILE, medsam:FILE, sam2:PATH, "
            f"medsam2:PATH, nninteractive:FOLDER or the path of a checkpoint; got {model!r}, "
            "and there is no such file."
        )
    return _describe(path, family)


def _find_published(checkpoint: Checkpoint, folder: Path) -> Weights:
    path = folder / checkpoint.file
    missing = [name for name in checkpoint.files if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{folder / missing[-1]}: the weights of '{checkpoint.name}' are not there. Run "
            f"`crowdqc weights {checkpoint.name}`, or download {checkpoint.url} "
            f"({checkpoint.megabytes} MB, {checkpoint.digest}) on a machine with a network and put "
            f'it there; {FOLDER} names another folder. `model = "intensity"` needs no weights.'
        )
    _verify_files(checkpoint, folder)
    digest = digest_of(path) if checkpoint.digest == UNPUBLISHED else checkpoint.digest
    return Weights(path=path, family=checkpoint.family, digest=digest)


def _folder_of_nnunet(folder: Path) -> Weights:
    """The one fold of a folder that nnU-Net wrote; its plans are as good as weights."""
    found = sorted(folder.glob("fold_*/checkpoint_final.pth"))
    if len(found) != 1:
        raise InputError(
            f"{folder}: must be the folder of a model of nnInteractive, with plans.json, "
            f"dataset.json and one fold_X/checkpoint_final.pth; got {len(found)} of the last."
        )
    files = [*sorted(folder.glob("*.json")), *found]
    whole = hashlib.sha256("".join(f"{one.name} {digest_of(one)}\n" for one in files).encode())
    return Weights(path=found[0], family="nninteractive", digest=f"sha256:{whole.hexdigest()}")


def _split_family(model: str) -> tuple[Family | None, Path]:
    match = re.fullmatch(r"(sam2?|medsam2?|nninteractive):(.+)", model)
    if match is None:
        return None, Path(model).expanduser()
    return cast("Family", match[1]), Path(match[2]).expanduser()


def _describe(path: Path, family: Family | None) -> Weights:
    """Take the family from the published files where the user did not say it."""
    digest = digest_of(path)
    if family is None:
        families = {c.family for c in CHECKPOINTS.values() if _is(path, digest, c)}
        if not families:
            logger.warning(
                "%s: is not a published checkpoint; its pictures are prepared as SAM's. Write "
                "'sam:%s' if that is right, 'medsam:%s' if it was trained as MedSAM.",
                *[visible(str(path))] * 3,
            )  # fmt: skip
        family = families.pop() if families else "sam"
    return Weights(path=path, family=family, digest=digest)


def _is(path: Path, sha256: str, checkpoint: Checkpoint) -> bool:
    algorithm = checkpoint.digest.partition(":")[0]
    if algorithm == UNPUBLISHED:
        return False
    return checkpoint.digest == (sha256 if algorithm == "sha256" else digest_of(path, algorithm))


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a checkpoint without running anything that is in it.

    Parameters
    ----------
    path : Path
        A file written by `torch.save`: the tensors by name, or the record of a training run
        that holds them under ``"model"``. Names may start with ``module.``.

    Returns
    -------
    state : dict of str to Tensor
        On the CPU, whatever device it was saved from; mapped from the file where possible.

    Raises
    ------
    InputError
        If it is not such a file.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that are none
            record = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except Exception as error:  # a file of something else breaks the unpickler in any way
        raise InputError(
            f"{path}: must be a checkpoint that holds tensors only; it is none, or holds other "
            f"objects ({type(error).__name__}). Save the model's state_dict() with torch.save."
        ) from error
    state = record.get("model", record) if isinstance(record, dict) else {}
    tensors = {
        name.removeprefix("module."): value
        for name, value in (state.items() if isinstance(state, dict) else ())
        if isinstance(name, str) and torch.is_tensor(value)
    }
    if not tensors:
        raise InputError(f"{path}: must hold the tensors of a SAM by name; got none.")
    return tensors


def load_changed(path: Path, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors that an adapted model has in the place of some of `state`.

    Parameters
    ----------
    path : Path
        Its file.
    state : Mapping
        All tensors of the model that it was made from.

    Raises
    ------
    InputError
        If the file is no safetensors, or a tensor of it has no counterpart of its shape.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        changed = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: cannot be read as safetensors: {error}") from error
    strange = [name for name, one in changed.items() if _shape(state.get(name)) != _shape(one)]
    if strange:
        raise InputError(
            f"{path}: must hold tensors of the model that its card names; got {len(strange)} of "
            f"other names or shapes, first '{strange[0]}'. Run crowdqc adapt again."
        )
    return changed


def _shape(tensor: torch.Tensor | None) -> tuple[int, ...] | None:
    return None if tensor is None else tuple(tensor.shape)


def _is_zip(path: Path) -> bool:
    """Only the newer format of `torch.save`, a zip file, can be mapped."""
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def architecture_of(state: Mapping[str, torch.Tensor]) -> str:
    """Name the architecture that a checkpoint belongs to: ``vit_b``, ``vit_l`` or ``vit_h``.

    Raises
    ------
    InputError
        If it is none of the three.
    """
    blocks = {m[1] for m in (re.match(r"image_encoder\.blocks\.(\d+)\.", n) for n in state) if m}
    position = state.get("image_encoder.pos_embed")
    width = 0 if position is None else position.shape[-1]
    if (width, len(blocks)) not in ARCHITECTURES:
        raise InputError(
            f"The checkpoint must be of {', '.join(ARCHITECTURES.values())}; got an image encoder "
            f"of width {width} with {len(blocks)} blocks."
        )
    return ARCHITECTURES[width, len(blocks)]
