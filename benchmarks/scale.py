"""A study of 2,500,000 boxes: how long each stage takes, how much memory, and how both grow.

    python benchmarks/scale.py                        # 100,000 slices, 5 labels, 5 raters
    python benchmarks/scale.py --slices 10000         # a smaller one
    python benchmarks/scale.py --slices 40000 --method edges    # fuse and agree on a million boxes
    python benchmarks/scale.py --growth               # an eighth, a quarter, a half, the whole
    python benchmarks/scale.py --peers PYTHON         # reading, against datumaro and supervision
    python benchmarks/scale.py --profile check        # where the time of a stage goes

The study is made below --where (a temporary folder) and removed afterwards. Each stage is a process
of its own: CPU seconds (user and system) and peak memory are the kernel's count for that process.
PYTHON is an interpreter that has datumaro and supervision.
"""

import argparse
import cProfile
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
STUDY = """[study]
name = "scale"
[labels]
{labels}
[annotations]
format = "yolo"
path = "{{rater}}/img{{case}}-slice{{slice}}.txt"
size = [512, 512]
empty_file = "nothing"
[agree]
bootstrap = 0
[fuse]
method = "{method}"
"""


def make_study(folder, slices, *, n_raters=5, seed=0, method="median"):
    """Organs that move slowly from slice to slice, drawn by raters whose edges scatter."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0.3, 0.7, (len(LABELS), 2))
    names = [(f"{k // SLICES_A_CASE:04d}", k % SLICES_A_CASE) for k in range(slices)]
    for rater in range(n_raters):
        place = folder / f"rater{rater}"
        place.mkdir(parents=True)
        for case, k in names:
            drift = 0.05 * np.sin(k / 30 + np.arange(len(LABELS)))[:, None]
            boxes = np.hstack([centre + drift, np.full((len(LABELS), 2), 0.2)])
            boxes = boxes + rng.normal(0, 0.004 * (1 + rater), boxes.shape)
            lines = (
                f"{i} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\r\n" for i, (x, y, w, h) in enumerate(boxes)
            )
            (place / f"img{case}-slice{k}.txt").write_text("".join(lines), newline="")
    labels = "\n".join(f'{i} = {{ name = "{n}", value = {i + 1} }}' for i, n in enumerate(LABELS))
    (folder / "study.toml").write_text(STUDY.format(labels=labels, method=method))
    return folder / "study.toml"


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


def run_stages(file):
    """What each stage takes: a dict of wall, CPU seconds and GiB."""
    command = [sys.executable, "-m", "crowdqc"]
    return {stage: measured([*command, stage, str(file), "--quiet"]) for stage in STAGES}


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


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--slices", type=int, default=100_000)
    parser.add_argument("--where", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--method", default="median", help="of fusion: edges is the default")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--peers")
    parser.add_argument("--profile", choices=STAGES)
    options = parser.parse_args()
    shares = (8, 4, 2, 1) if options.growth else (1,)
    results = {}
    for share in shares:
        folder = Path(tempfile.mkdtemp(prefix="scale-", dir=options.where))
        try:
            file = make_study(folder, options.slices // share, method=options.method)
            if options.peers:
                compare_readers(folder, options.peers)
            elif options.profile:
                profile(file, options.profile)
            else:
                results[options.slices // share] = run_stages(file)
                print(table(results), flush=True)
        finally:
            shutil.rmtree(folder)
