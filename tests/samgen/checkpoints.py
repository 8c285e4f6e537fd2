"""A checkpoint that nobody published, and what is in its file."""

import hashlib

from samgen.weights import Checkpoint

CONTENT = bytes(range(256)) * 40_000  # 10 MB: more than one block and than a socket's buffer


def published(url="http://localhost/", content=CONTENT, algorithm="sha256"):
    digest = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    return Checkpoint(
        name="toy",
        family="sam",
        file="toy.pth",
        url=url + "toy.pth",
        megabytes=10,
        digest=digest,
        hash_from="publisher",
        licence="MIT",
    )
