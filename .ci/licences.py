"""Licences of all that the core of crowdqc installs: one that is not known to be free fails.

python .ci/licences.py              # of what pyproject.toml asks for, in this environment
python .ci/licences.py sam train    # and of these extras
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution

FREE = re.compile(
    r"\b(MIT|BSD|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla|Unlicense|Zlib|HPND|CC0|0BSD"
    r"|LGPL|Public Domain|MIT-CMU|NCSA)\b",
    re.IGNORECASE,
)
NOT_LINKED = re.compile(r"(?<![LA-Z])A?GPL", re.IGNORECASE)


def needs(name, extras):
    """Names of what a distribution asks for, where its markers hold here."""
    for line in distribution(name).requires or ():
        wanted = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", line)
        if wanted is None or wanted[1] in extras:
            yield re.match(r"[\w.-]+", line)[0]


def licence(name):
    """What a distribution says of its licence: the expression, the field or the classifiers."""
    data = distribution(name).metadata
    classified = [c for c in data.get_all("Classifier") or () if c.startswith("License ::")]
    return data["License-Expression"] or " ".join([*classified, (data["License"] or "")[:200]])


def main(extras):
    waiting, seen, bad = ["crowdqc"], {}, []
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in seen:
            continue
        try:
            seen[name] = licence(name)
        except PackageNotFoundError:  # for another system or version of Python
            continue
        waiting += needs(name, extras if name == "crowdqc" else ())
    del seen["crowdqc"]
    for name, terms in sorted(seen.items()):
        if not FREE.search(terms) or (NOT_LINKED.search(terms) and "LGPL" not in terms):
            bad.append(f"{name}: {terms.strip() or 'says nothing of its terms'}")
    print(f"{len(seen)} packages; refused: {len(bad)}")
    print("\n".join(bad))
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(set(sys.argv[1:])))
