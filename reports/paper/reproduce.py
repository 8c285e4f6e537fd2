"""A paper's tables and claims, recomputed from the scores that its authors released.

``CROWDQC_DATA=DATA python reports/paper/reproduce.py`` reads ``paper.toml`` beside it (or the file
that is named) and writes ``reports/paper.md``, ``reports/paper.html`` and their figures.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(words: list[str]) -> int:
    """Write the pages; exit code 2 where a file cannot be read or is wrong."""
    sys.path.insert(0, str(HERE.parents[1]))
    from crowdqc.findings import InputError
    from reports.paper.page import write_paper

    try:
        for path in write_paper(Path(words[0]) if words else HERE / "paper.toml"):
            print(path.name)
    except InputError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
