"""Models that `crowdqc adapt` wrote: a file, and beside it the card that says what it is.

``NAME.safetensors`` holds those tensors of a model that were changed; ``NAME.json`` the constants
of an embedded one, label by label. ``NAME.card.json`` names the model that it was made from,
which is opened first, its hash and its licence, the hash of the file, the cases, and the scores.
The card is written last: a file without one is not finished, and is not opened.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crowdqc.files import Unreadable, read_json, sha256
from crowdqc.findings import InputError
from crowdqc.writing import atomic

FORMAT = "crowdqc model card 1"
TENSORS, CONSTANTS = ".safetensors", ".json"
CARD = ".card.json"
NEEDED = {
    "format": str,
    "model": str,
    "base": str,
    "licence": str,
    "sha256": str,
    "train": list,
    "held_out": list,
}
"""Keys that a card must have; the others are for people."""
BYTES_MAX = 50_000_000


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """An adapted model whose file is the one that its card describes.

    Parameters
    ----------
    path : Path
        The file.
    card : dict
        What its card says; `NEEDED` has the keys that count.
    """

    path: Path
    card: Mapping[str, Any]

    @property
    def model(self) -> str:
        """``[masks] model`` that it was made from."""
        return str(self.card["model"])

    @property
    def licence(self) -> str:
        """SPDX identifier of the licence of the weights that it was made from."""
        return str(self.card["licence"])

    @property
    def digest(self) -> str:
        """Hash of the file and of the weights below it: part of the signature of its masks."""
        return f"{self.card['base']} adapted sha256:{self.card['sha256']}"

    def refuse_other_base(self, digest: str) -> None:
        """Refuse weights that the model was not made from.

        Raises
        ------
        InputError
            Naming both hashes.
        """
        if digest != self.card["base"]:
            raise InputError(
                f"{self.path}: was made from '{self.model}' with the hash {self.card['base']}; the "
                f"weights of that name here have {digest}. Put back those, or run crowdqc adapt."
            )


def card_path(path: Path) -> Path:
    """Where the card of a model file lies.

    Examples
    --------
    >>> card_path(Path("models/sam2.1_hiera_tiny-1f.safetensors")).as_posix()
    'models/sam2.1_hiera_tiny-1f.card.json'
    """
    return path.with_suffix(CARD)


def names_adapted(model: str) -> bool:
    """Whether ``[masks] model`` is the name of a file as `crowdqc adapt` writes it.

    Examples
    --------
    >>> names_adapted("out/models/sam_vit_b-1f.safetensors"), names_adapted("sam_vit_b")
    (True, False)
    """
    return model.endswith((TENSORS, CONSTANTS)) and not model.endswith(CARD)


def find_adapted(model: str) -> Adapted | None:
    """The adapted model that ``[masks] model`` names; None where it names something else.

    Raises
    ------
    InputError
        If there is no such file or no card beside it, the card is none, or the file has changed.
    """
    if not names_adapted(model):
        return None
    path = Path(model).expanduser()
    if not path.is_file():
        raise InputError(f"{path}: 'model' names an adapted model, and there is no such file.")
    card = _read_card(card_path(path))
    found = sha256(path)
    if card["sha256"] != found:
        raise InputError(
            f"{path}: must have the SHA-256 {card['sha256']} that its card names; got {found}. "
            "The file was changed or damaged: remove both and run crowdqc adapt again."
        )
    return Adapted(path=path, card=card)


def _read_card(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(
            f"{path}: is not there, and without its card nobody knows what a model is made from. "
            "Put it beside the model, or run crowdqc adapt again."
        )
    try:
        card = read_json(path, BYTES_MAX)
    except Unreadable as error:
        raise InputError(f"{path}: {error}") from error
    bad = [
        key
        for key, kind in NEEDED.items()
        if not (isinstance(card, dict) and isinstance(card.get(key), kind))
    ]
    if bad or card["format"] != FORMAT:
        raise InputError(
            f"{path}: must be a model card ('format': {FORMAT!r}) with the keys "
            f"{', '.join(NEEDED)}; of these {', '.join(bad) or 'the format'} is missing or of "
            "another kind. Run crowdqc adapt again."
        )
    return dict(card)


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write the card of a finished model file, and with it make the model one that is opened.

    Parameters
    ----------
    path : Path
        The model file.
    card : Mapping
        What is known of it but its hash, with the keys of `NEEDED`.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    record = {"format": FORMAT, **card, "sha256": sha256(path)}
    with atomic(card_path(path)) as temporary:
        temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_constants(path: Path) -> dict[str, dict[str, float]]:
    """Constants of an embedded model, label by label.

    Raises
    ------
    InputError
        If the file holds something else.
    """
    try:
        found = read_json(path, BYTES_MAX)
    except Unreadable as error:
        raise InputError(f"{path}: {error}") from error
    labels = found.get("labels") if isinstance(found, dict) else None
    if not (isinstance(labels, dict) and all(map(_are_constants, labels.values()))):
        raise InputError(
            f"{path}: must hold 'labels', and for each of them constants by name, numbers above 0."
        )
    return {str(label): dict(one) for label, one in labels.items()}


def _are_constants(one: Any) -> bool:
    return isinstance(one, dict) and all(
        isinstance(value, int | float) and value > 0 for value in one.values()
    )
