"""Published files of weights: where they are, how large, by what licence, and with which hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Family = Literal["sam", "medsam", "sam2", "medsam2"]
"""Which preprocessing and which mask head a checkpoint was trained with."""

META = "https://dl.fbaipublicfiles.com/segment_anything/"
META_2 = "https://dl.fbaipublicfiles.com/segment_anything_2/092824/"
ZENODO = "https://zenodo.org/records/10689643/files/"
UNPUBLISHED = "unpublished"
"""Digest of a file whose publisher names none."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A published file of weights.

    Parameters
    ----------
    name : str
        What a study file calls it.
    family : {"sam", "medsam", "sam2", "medsam2"}
        Which preprocessing and which heads belong to it.
    file, url : str
        Name of the file, and where it is published.
    megabytes : int
        Size in 10^6 bytes, for people who wait.
    digest : str
        ``algorithm:hexadecimal``; SHA-256, or MD5 where no SHA-256 is published. `UNPUBLISHED`
        where nothing is: then the SHA-256 of the first file that was fetched holds.
    licence : str
        SPDX identifier.
    """

    name: str
    family: Family
    file: str
    url: str
    megabytes: int
    digest: str
    licence: str


def _registry(*checkpoints: Checkpoint) -> Mapping[str, Checkpoint]:
    return {checkpoint.name: checkpoint for checkpoint in checkpoints}


CHECKPOINTS = _registry(
    Checkpoint(
        name="sam_vit_b",
        family="sam",
        file="sam_vit_b_01ec64.pth",
        url=META + "sam_vit_b_01ec64.pth",
        megabytes=375,
        digest="sha256:ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        licence="Apache-2.0",
    ),
    Checkpoint(
        name="sam_vit_l",
        family="sam",
        file="sam_vit_l_0b3195.pth",
        url=META + "sam_vit_l_0b3195.pth",
        megabytes=1250,
        digest="sha256:3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        licence="Apache-2.0",
    ),
    Checkpoint(
        name="sam_vit_h",
        family="sam",
        file="sam_vit_h_4b8939.pth",
        url=META + "sam_vit_h_4b8939.pth",
        megabytes=2565,
        digest="sha256:a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        licence="Apache-2.0",
    ),
    Checkpoint(
        name="medsam",
        family="medsam",
        file="medsam_vit_b.pth",
        url=ZENODO + "medsam_vit_b.pth",
        megabytes=375,
        digest="md5:3bb6db55bd0c9ca30b61248bca72f8d6",
        licence="CC-BY-4.0",
    ),
    Checkpoint(
        name="sam2.1_hiera_tiny",
        family="sam2",
        file="sam2.1_hiera_tiny.pt",
        url=META_2 + "sam2.1_hiera_tiny.pt",
        megabytes=156,
        digest="sha256:7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
        licence="Apache-2.0",
    ),
    *(
        Checkpoint(
            name=f"sam2.1_hiera_{size}",
            family="sam2",
            file=f"sam2.1_hiera_{size}.pt",
            url=META_2 + f"sam2.1_hiera_{size}.pt",
            megabytes=megabytes,
            digest=UNPUBLISHED,
            licence="Apache-2.0",
        )
        for size, megabytes in (("small", 184), ("base_plus", 324), ("large", 898))
    ),
    Checkpoint(
        name="medsam2",
        family="medsam2",
        file="MedSAM2_latest.pt",
        url="https://huggingface.co/wanglab/MedSAM2/resolve/"
        "e4a6f35edd7e091619cbc0750f462f1574e23955/MedSAM2_latest.pt",
        megabytes=156,
        digest=UNPUBLISHED,
        licence="CC-BY-SA-4.0",
    ),
)
"""Every checkpoint that has a name."""
