"""Kills `crowdqc review` at random moments while decisions are posted; prints what was lost.

    python benchmarks/review_kills.py FOLDER [--times 100]

FOLDER is made. A decision counts as saved when the server has said so. Exit code 1 if one of them
is not in ``decisions.csv`` afterwards, or not in its order, or the file cannot be read.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from crowdqc.config import load_config
from crowdqc.decisions import read_decisions
from tests.review.conftest import write
from tests.review.kills import kill_while_deciding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--times", type=int, default=100)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True)
    study = write(arguments.folder, images=False)
    saved = kill_while_deciding(study, times=arguments.times, rng=np.random.default_rng(1))
    table = read_decisions(load_config(study))["shown"].tolist()
    kept = [text for text in table if text in set(saved)]
    print(
        f"{arguments.times} kills: {len(saved):,} decisions were called saved, "
        f"{len(saved) - len(kept):,} of them lost; {len(table) - len(kept):,} more are in the file."
    )
    sys.exit(kept != saved)


if __name__ == "__main__":
    main()
