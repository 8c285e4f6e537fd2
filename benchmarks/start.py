"""Processor time that commands take before they work: until they look at the study's files.

    python benchmarks/start.py STUDY.toml      # of a study with volumes, such as the demo

Prints the least of three runs. `--help` and an error of usage run to their end.
"""

from __future__ import annotations

import subprocess
import sys

COMMANDS = "check agree complete fuse gate masks risk dataset evaluate report status tasks review"
UNTIL_WORK = """
import os, sys, time
import crowdqc.stages.images, crowdqc.store

def stop(*_, **__):
    print(f"CPU {time.process_time():.2f}", flush=True)
    os._exit(0)

class Volumes:
    def find_spec(self, name, path=None, target=None):
        if name == "crowdqc.volumes":
            stop()

sys.meta_path.insert(0, Volumes())
crowdqc.store.Store.read = stop
from crowdqc.cli import main
main(sys.argv[1:])
"""
WHOLE = """
import atexit, sys, time
atexit.register(lambda: print(f"CPU {time.process_time():.2f}", flush=True))
from crowdqc.cli import main
main(sys.argv[1:])
"""


def seconds(code: str, words: list[str]) -> float:
    """Least processor time of three runs."""
    found = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
        )
        found.append(float(done.stdout.rpartition("CPU ")[2]))
    return min(found)


def main() -> None:
    """Print a row for each command."""
    study = sys.argv[1]
    print(f"--help     {seconds(WHOLE, ['--help']):.2f}")
    print(f"no study   {seconds(WHOLE, ['agree']):.2f}")
    for name in COMMANDS.split():
        print(f"{name:10} {seconds(UNTIL_WORK, [name, study]):.2f}", flush=True)


if __name__ == "__main__":
    main()
