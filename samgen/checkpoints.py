"""Published files of weights: where they are, how large, by what licence, and with which hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Family = Literal["sam", "medsam", "sam2", "medsam2", "nninteractive"]
"""Which preprocessing and which mask head a checkpoint was trained with."""

META = "https://dl.fbaipublicfiles.com/segment_anything/"
META_2 = "https://dl.fbaipublicfiles.com/segment_anything_2/092824/"
ZENODO = "https://zenodo.org/records/10689643/files/"
DKFZ = "https://huggingface.co/MIC-DKFZ/nnInteractive/resolve/3f308d751c00644e4fde6f09c600264b393b21b5/"
UNPUBLISHED = "unpublished"
"""Digest of a file whose publisher names none."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A published file of weights.

    Parameters
    ----------
    name : str
        What a study file calls it.
    family : {"sam", "medsam", "sam2", "medsam2", "nninteractive"}
        Which preprocessing and which heads belong to it.
    file, url : str
        Name of the file, with folders, and where it is published: an address that ends with it.
    megabytes : int
        Size in 10^6 bytes, for people who wait.
    digest : str
        ``algorithm:hexadecimal``; SHA-256, or MD5 where no SHA-256 is published. `UNPUBLISHED`
        where nothing is: then the SHA-256 of the first file that was fetched holds.
    hash_from : str
        Who names the digest: its publisher, or others who pinned the same file.
    licence : str
        SPDX identifier.
    parts : mapping of str
        Further files of the model, beside `file` and published likewise, with their digests.
    """

    name: str
    family: Family
    file: str
    url: str
    megabytes: int
    digest: str
    hash_from: str = "publisher"
    licence: str
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, tuple[str, str]]:
        """All its files: name -> address and digest, small ones first."""
        base = self.url.removesuffix(self.file)
        parts = {name: (base + name, digest) for name, digest in self.parts.items()}
        return parts | {self.file: (self.url, self.digest)}


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
        hash_from="micro_sam and SlicerSegmentWithSAM",
        licence="Apache-2.0",
    ),
    Checkpoint(
        name="sam_vit_l",
        family="sam",
        file="sam_vit_l_0b3195.pth",
        url=META + "sam_vit_l_0b3195.pth",
        megabytes=1250,
        digest="sha256:3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        hash_from="micro_sam and SlicerSegmentWithSAM",
        licence="Apache-2.0",
    ),
    Checkpoint(
        name="sam_vit_h",
        family="sam",
        file="sam_vit_h_4b8939.pth",
        url=META + "sam_vit_h_4b8939.pth",
        megabytes=2565,
        digest="sha256:a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        hash_from="micro_sam and SlicerSegmentWithSAM",
        licence="Apache-2.0",
    ),
    Checkpoint(
        name="medsam",
        family="medsam",
        file="medsam_vit_b.pth",
        url=ZENODO + "medsam_vit_b.pth",
        megabytes=375,
        digest="md5:3bb6db55bd0c9ca30b61248bca72f8d6",
        hash_from="publisher",
        licence="CC-BY-4.0",
    ),
    *(
        Checkpoint(
            name=f"sam2.1_hiera_{size}",
            family="sam2",
            file=f"sam2.1_hiera_{size}.pt",
            url=META_2 + f"sam2.1_hiera_{size}.pt",
            megabytes=megabytes,
            digest=f"sha256:{digest}",
            hash_from="micro_sam",
            licence="Apache-2.0",
        )
        for size, megabytes, digest in (
            ("tiny", 156, "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"),
            ("small", 184, "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"),
            ("base_plus", 324, "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5"),
            ("large", 898, "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"),
        )
    ),
    Checkpoint(
        name="medsam2",
        family="medsam2",
        file="MedSAM2_latest.pt",
        url="https://huggingface.co/wanglab/MedSAM2/resolve/"
        "e4a6f35edd7e091619cbc0750f462f1574e23955/MedSAM2_latest.pt",
        megabytes=156,
        digest="sha256:c92743b99f00d078bf32a3afcc38aaa9faf1c1692dffe3eaa7a90938c1991060",
        hash_from="MONAI Label",
        licence="CC-BY-SA-4.0",
    ),
    Checkpoint(
        name="nninteractive",
        family="nninteractive",
        file="nnInteractive_v1.0/fold_0/checkpoint_final.pth",
        url=DKFZ + "nnInteractive_v1.0/fold_0/checkpoint_final.pth",
        megabytes=411,
        digest="sha256:b3ac4421f85457bbd1aa0d87f5e67bcb7bc8e2ce6b824b6ac45077cc5d630ea9",
        hash_from="MONAI Label",
        licence="CC-BY-NC-SA-4.0",
        parts={
            f"nnInteractive_v1.0/{name}": f"sha256:{digest}"
            for name, digest in (
                ("LICENSE", "4f60f5747c5506020923866690c2a41a3c74ffa85b7371eac2b02e23185f91d5"),
                (
                    "dataset.json",
                    "e090394ac539b2823b2135173658190245c462cb042d3442487e4829f08252c4",
                ),
                (
                    "inference_session_class.json",
                    "8f43587a9d139fcf7af8776219e9432dab079f985cb0d7da72a4c851b39a4f09",
                ),
                ("plans.json", "64a30a430438302a692a3edadd345a207b3428bea2e5cdc125298757da21f4d4"),
            )
        },
    ),
)
"""Every checkpoint that has a name."""
