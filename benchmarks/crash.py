"""Kill every stage at random points, run again, and compare with a run that nobody disturbed.

    python benchmarks/crash.py --kills 100             # the demo, all stages
    python benchmarks/crash.py --kills 5 --small       # two cases, in tests
    python benchmarks/crash.py --folder /tmp/crash     # in parts: the same command goes on

A run is killed (SIGKILL) by itself, at one of the moments at which it touches a file of the folder
of results (chosen at random among all of them), or after a random time. It is killed up to three
times in a row, sometimes on top of the results of other settings; then it may end. Every byte in
the folder must be that of the undisturbed run, and no file may be left over.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from click.testing import CliRunner

from crowdqc.cli import main
from crowdqc.simulate.demo import make_demo

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "shutil.rmtree"}
KEPT = ("abdomen1", "abdomen4")


def make_study(folder, *, small):
    """The demo; a small one has two of its cases, and draws less."""
    file = make_demo(folder)
    if small:
        for path in [path for path in folder.rglob("abdomen*") if path.is_file()]:
            if not path.name.startswith(KEPT):
                path.unlink()
        text = file.read_text().replace("prompts = 16", "prompts = 2")
        file.write_text(text + "\n[agree]\nbootstrap = 20\n")
    return file


def run(file, out, *, iou="0.3"):
    """All stages, in this process."""
    words = ["run", str(file), "--out", str(out), "--quiet"]
    path = file.with_name(f"study{iou}.toml")
    if not path.exists():
        path.write_text(file.read_text() + f"\n[match]\niou = {iou}\n")
    words[1] = str(path)
    result = CliRunner().invoke(main, words)
    if result.exit_code not in (0, 3):
        sys.exit(f"exit code {result.exit_code}: {result.output}")


def in_child(work, *, limit=None, counter=None, out=None):
    """Do `work` in a process of its own, killed at its `limit`-th event or after so many seconds.

    Returns whether it was killed.
    """
    sys.stdout.flush()
    child = os.fork()
    if child:
        if isinstance(limit, float):
            time.sleep(limit)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            sys.exit("a run failed")
        return os.WIFSIGNALED(status)
    seen = 0

    def hook(event, args):
        nonlocal seen
        by_descriptor = event == "os.rename" and args[2] != -1
        if event in EVENTS and args and (by_descriptor or str(out) in str(args[:2])):
            seen += 1
            if seen == limit:
                os.kill(os.getpid(), signal.SIGKILL)

    if isinstance(limit, int) or counter is not None:
        sys.addaudithook(hook)
    with contextlib.redirect_stderr(io.StringIO()):
        work()
    if counter is not None:
        counter.write_text(str(seen))
    os._exit(0)


def code():
    """What the rounds were run with."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted([*root.glob("crowdqc/**/*.*"), *root.glob("samgen/**/*.py")]):
        if path.suffix in {".py", ".toml"}:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def prepare(where, *, small):
    """The study file, what an undisturbed run writes, its moments and seconds; made once."""
    notes = where / "undisturbed.json"
    file = where / "study" / "study.toml"
    if notes.is_file():
        known = json.loads(notes.read_text())
        if known["code"] != code():
            sys.exit(f"{where}: was begun with other code; name another --folder")
        return file, contents(where / "whole"), known
    file = make_study(where / "study", small=small)
    counter, began = where / "events", time.monotonic()
    in_child(lambda: run(file, where / "whole"), counter=counter, out=where / "whole")
    known = {"code": code(), "seconds": time.monotonic() - began}
    known |= {"moments": int(counter.read_text()), "rounds": 0, "counts": {}}
    in_child(lambda: run(file, where / "other", iou="0.6"))
    notes.write_text(json.dumps(known))
    return file, contents(where / "whole"), known


def disturbed(file, rng, known):
    """One folder of results, killed up to three times; by what it was killed, and what it holds."""
    out, counts = file.parents[1] / "out", Counter()
    shutil.rmtree(out, ignore_errors=True)
    if rng.random() < 0.3:
        shutil.copytree(out.with_name("other"), out)
    for _ in range(int(rng.integers(1, 4))):
        by_time = rng.random() < 0.3
        seconds = float(rng.uniform(0, known["seconds"]))
        limit = seconds if by_time else int(rng.integers(1, known["moments"] + 1))
        killed = in_child(lambda: run(file, out), limit=limit, out=out)
        counts["at a time" if by_time else "at a file"] += killed
    in_child(lambda: run(file, out))
    return counts, contents(out)


def survive(where, *, kills, small, seed):
    """Number of kills that were survived, by how they came; stops at the first loss.

    A folder that holds the first rounds is gone on with.
    """
    file, expected, known = prepare(where, small=small)
    print(
        f"{len(expected)} files, {known['moments']} moments, {known['seconds']:.1f} s", flush=True
    )
    counts = Counter(known["counts"])
    while counts.total() < kills:
        more, got = disturbed(file, np.random.default_rng([seed, known["rounds"]]), known)
        wrong = sorted(n for n in got.keys() | expected if got.get(n) != expected.get(n))
        if wrong:
            sys.exit(f"after {counts.total()} kills these files differ: {wrong[:10]}")
        counts += more
        known |= {"rounds": known["rounds"] + 1, "counts": counts}
        (where / "undisturbed.json").write_text(json.dumps(known))
        print(f"{counts.total()} kills survived", file=sys.stderr, flush=True)
    return counts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keeps the rounds, so that they can go on")
    options = parser.parse_args()
    words = {"kills": options.kills, "small": options.small, "seed": options.seed}
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="crash-"))
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = survive(folder, **words)
    parts = ", ".join(f"{n} {how}" for how, n in sorted(found.items()) if n)
    print(f"survived {found.total()} kills: {parts}")
