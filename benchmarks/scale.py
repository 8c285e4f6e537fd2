"""A study of 10,000,000 boxes: how long each stage takes, how much memory, and how both grow.

    python benchmarks/scale.py --slices 400000 --growth --where FOLDER    # an eighth to the whole
    python benchmarks/scale.py --slices 10000                     # 250,000 boxes
    python benchmarks/scale.py --slices 10000 --format yolo       # a file for each slice
    python benchmarks/scale.py --slices 3000 --peers PYTHON       # reading, against others
    python benchmarks/scale.py --slices 4000 --profile check      # where the time of a stage goes

25 boxes a slice: 5 labels by 5 raters, in a table for each rater and case of 200 slices. Each stage
is a process of its own: CPU seconds (user and system) and peak memory are the kernel's count for
that process. The study is made below --where and removed when all of it was measured. What was
measured stands in `scale.json` there, so that the same command goes on where it was stopped;
without --where a temporary folder is used. PYTHON is an interpreter that has datumaro and
supervision.
"""

import argparse
import cProfile
import json
import os
import pstats
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
STAGES = ("check", "agree", "fuse", "complete", "gate", "report")
SLICES_A_CASE = 200
LABELS = ("spleen", "right_kidney", "left_kidney", "liver", "aorta")
N_RATERS = 5
STUDY = """[study]
name = "scale"
[labels]
{labels}
[annotations]
{annotations}
size = [512, 512]
[agree]
bootstrap = 0
[fuse]
method = "{method}"
"""
COLUMNS = ("case", "slice", "label", "x0", "y0", "x1", "y1")
ANNOTATIONS = {
    "table": f"""format = "table"
path = "{{rater}}/case{{case}}.csv"
columns = {{ {", ".join(f'{name} = "{name}"' for name in COLUMNS)} }}""",
    "yolo": """format = "yolo"
path = "{rater}/img{case}-slice{slice}.txt"
empty_file = "nothing\"""",
}


def make_study(folder, slices, *, form="table", method="edges", seed=0):
    """Organs that move slowly from slice to slice, drawn by raters whose edges scatter."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0.3, 0.7, (len(LABELS), 2))
    write = {"table": write_table, "yolo": write_slices}[form]
    for rater in range(N_RATERS):
        place = folder / f"rater{rater}"
        place.mkdir(parents=True, exist_ok=True)
        for first in range(0, slices, SLICES_A_CASE):
            k = np.arange(first, min(first + SLICES_A_CASE, slices))
            drift = 0.05 * np.sin(k[:, None, None] % SLICES_A_CASE / 30 + np.arange(5)[:, None])
            boxes = np.dstack([centre + drift, np.full((len(k), len(LABELS), 2), 0.2)])
            boxes += rng.normal(0, 0.004 * (1 + rater), boxes.shape)
            write(place, f"{first // SLICES_A_CASE:04d}", boxes)
    labels = "\n".join(f'{i} = {{ name = "{n}", value = {i + 1} }}' for i, n in enumerate(LABELS))
    text = STUDY.format(labels=labels, annotations=ANNOTATIONS[form], method=method)
    (folder / "study.toml").write_text(text)
    return folder / "study.toml"


def write_table(place, case, boxes):
    """Boxes ``x, y, width, height`` (slices, labels, 4), as fractions: one file, in px."""
    low, size = boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., 2:]
    edges = 512 * np.dstack([low, low + size])
    rows = (
        f"{case},{k},{label},{x0:.2f},{y0:.2f},{x1:.2f},{y1:.2f}\n"
        for k, of_slice in enumerate(edges.tolist())
        for label, (x0, y0, x1, y1) in zip(LABELS, of_slice, strict=True)
    )
    (place / f"case{case}.csv").write_text(",".join(COLUMNS) + "\n" + "".join(rows), newline="")


def write_slices(place, case, boxes):
    """As `write_table`, a file for each slice, as YOLO has it."""
    for k, of_slice in enumerate(boxes.tolist()):
        lines = (
            f"{i} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\r\n" for i, (x, y, w, h) in enumerate(of_slice)
        )
        (place / f"img{case}-slice{k}.txt").write_text("".join(lines), newline="")


def measured(words):
    """Wall seconds, CPU seconds and peak GiB of a command; it must end with 0 or 3."""
    began = time.perf_counter()
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        sys.exit(f"{words}: exit code {process.returncode}")
    wall = time.perf_counter() - began
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def run_stages(file, done, save):
    """What each stage takes: a dict of wall, CPU seconds and GiB; `done` has those before."""
    command = [sys.executable, "-m", "crowdqc"]
    for stage in STAGES:
        if stage not in done:
            done[stage] = measured([*command, stage, str(file), "--quiet"])
            save()
            print(
                "{:9} {:8.1f} s {:8.1f} CPU s {:6.2f} GiB".format(stage, *done[stage]), flush=True
            )


def measure(folder, slices, *, form, method):
    """Make a study of each size and run its stages, in `folder`; goes on where it was stopped."""
    kept = folder / "scale.json"
    every = json.loads(kept.read_text()) if kept.exists() else {}

    def save():
        kept.with_suffix(".new").write_text(json.dumps(every, indent=1))
        kept.with_suffix(".new").replace(kept)

    for n in slices:
        done = every.setdefault(f"{n} {form} {method}", {})
        study = folder / f"study-{n}-{form}-{method}"
        if set(done) != set(STAGES):
            print(f"{25 * n:,} boxes", flush=True)
            if not (study / "study.toml").exists():
                make_study(study, n, form=form, method=method)
            run_stages(study / "study.toml", done, save)
        shutil.rmtree(study, ignore_errors=True)
        sizes = [m for m in slices if f"{m} {form} {method}" in every]
        print(table({m: every[f"{m} {form} {method}"] for m in sizes}), flush=True)


def table(results):
    """A row for each stage, and for all; columns for each size."""
    lines = ["| | " + " | ".join(f"{25 * n:,} boxes: CPU s, wall s, GiB" for n in results) + " |"]
    lines.append("|---" * (len(results) + 1) + "|")
    for stage in STAGES:
        cells = ("{1:.1f}, {0:.1f}, {2:.2f}".format(*one[stage]) for one in results.values())
        lines.append(f"| `{stage}` | " + " | ".join(cells) + " |")
    sums = []
    for one in results.values():
        wall, cpu, _ = (sum(column) for column in zip(*one.values(), strict=True))
        sums.append(f"{cpu:.1f}, {wall:.1f}, {max(row[2] for row in one.values()):.2f}")
    return "\n".join([*lines, "| together | " + " | ".join(sums) + " |"])


PEERS = {
    "crowdqc": """
from pathlib import Path
from crowdqc.config import load_config
from crowdqc.formats import read_study
def read():
    study, _ = read_study(load_config(Path(sys.argv[1]) / "study.toml"))
    return len(study.boxes)
""",
    "datumaro": """
import datumaro as dm
def read():
    data = dm.Dataset.import_from(sys.argv[1], "yolo")
    return sum(len(item.annotations) for item in data)
""",
    "supervision": """
import supervision as sv
def read():
    total = 0
    for rater in range(5):
        base = f"{sys.argv[1]}/rater{rater}"
        data = sv.DetectionDataset.from_yolo(base, base, f"{sys.argv[1]}/data.yaml")
        total += sum(len(one) for one in data.annotations.values())
    return total
""",
}
TIMED = """
import sys, time, warnings
warnings.simplefilter("ignore")
{read}
began = time.process_time()
n = read()
print(n, time.process_time() - began)
"""


def compare_readers(folder, python, *, repeats=7):
    """CPU seconds of reading the same files; the peers also want a picture for each of them."""
    from PIL import Image

    picture = folder / "picture.png"
    Image.new("L", (512, 512)).save(picture)
    texts = sorted(folder.glob("rater*/*.txt"))
    for text in texts:
        shutil.copyfile(picture, text.with_suffix(".png"))
    names = "\n".join(f"  {i}: {name}" for i, name in enumerate(LABELS))
    (folder / "data.yaml").write_text(f"names:\n{names}\n")
    darknet = folder / "darknet"
    darknet.mkdir()
    (darknet / "obj.names").write_text("\n".join(LABELS) + "\n")
    (darknet / "obj.data").write_text(
        f"classes = {len(LABELS)}\ntrain = data/train.txt\nnames = data/obj.names\n"
    )
    (darknet / "obj_train_data").mkdir()
    for text in texts:
        for ending in (".txt", ".png"):
            name = f"{text.parent.name}-{text.stem}{ending}"
            os.link(text.with_suffix(ending), darknet / "obj_train_data" / name)
    listed = sorted(path.name for path in (darknet / "obj_train_data").glob("*.png"))
    (darknet / "train.txt").write_text("".join(f"data/obj_train_data/{name}\n" for name in listed))
    where = {"crowdqc": folder, "supervision": folder, "datumaro": darknet}
    seconds = {name: [] for name in PEERS}
    for _ in range(repeats):  # in turns: what else the machine does hits all alike
        for name, read in PEERS.items():
            interpreter = sys.executable if name == "crowdqc" else python
            words = [interpreter, "-c", TIMED.format(read=read), str(where[name])]
            out = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
            n, taken = out.split()[-2:]
            if int(n) != 5 * len(texts):
                sys.exit(f"{name} read {n} boxes of {5 * len(texts)}")
            seconds[name].append(float(taken))
    for name, taken in seconds.items():
        ratios = sorted(a / b for a, b in zip(taken, seconds["crowdqc"], strict=True))
        low, middle, high = ratios[0], ratios[repeats // 2], ratios[-1]
        shown = " ".join(f"{x:.2f}" for x in taken)
        print(f"{name:12} CPU s: {shown}   times crowdqc: {middle:.1f} ({low:.1f} to {high:.1f})")


def profile(file, stage):
    from click.testing import CliRunner

    from crowdqc.cli import main

    for before in STAGES[: STAGES.index(stage)]:
        CliRunner().invoke(main, [before, str(file), "--quiet"])
    profiler = cProfile.Profile()
    profiler.enable()
    CliRunner().invoke(main, [stage, str(file), "--quiet"], catch_exceptions=False)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("cumulative").print_stats(45)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--slices", type=int, default=400_000)
    parser.add_argument("--where", type=Path, help="a folder, kept for the next try")
    parser.add_argument("--format", choices=ANNOTATIONS, default="table", dest="form")
    parser.add_argument("--method", default="edges", help="of fusion")
    parser.add_argument("--growth", action="store_true", help="an eighth, a quarter, a half, all")
    parser.add_argument("--peers")
    parser.add_argument("--profile", choices=STAGES)
    options = parser.parse_args()
    shares = (8, 4, 2, 1) if options.growth else (1,)
    slices = [options.slices // share for share in shares]
    folder = options.where or Path(tempfile.mkdtemp(prefix="scale-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if options.peers:
            make_study(folder, options.slices, form="yolo")
            compare_readers(folder, options.peers)
        elif options.profile:
            file = make_study(
                folder / "profile", options.slices, form=options.form, method=options.method
            )
            profile(file, options.profile)
        else:
            measure(folder, slices, form=options.form, method=options.method)
    finally:
        if options.where is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
