"""Fuzz everything that reads files: each reader, the study file, the policy, the manifest, NIfTI.

    python benchmarks/fuzz.py                          # random changes of good files, 60 s each
    python benchmarks/fuzz.py --seconds 600 --only yolo,cvat
    python benchmarks/fuzz.py --atheris yolo           # guided by coverage (pip install atheris)

A good file (a seed) is changed in a few places: bytes turned, cut out, doubled, replaced by odd
ones, repeated twenty thousand times. Whatever comes of it must be read, or refused with an
`InputError` or findings, in `MEMORY_MAX` of address space and `SECONDS_MAX`. Prints how many inputs
were tried, how many of them were still read, and what the slowest one took.
"""

import argparse
import gzip
import io
import json
import random as random_module
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import nibabel as nib
import numpy as np
import SimpleITK

if "--atheris" in sys.argv:
    import atheris

    with atheris.instrument_imports(include=["crowdqc"]):
        import crowdqc.formats.guess
        import crowdqc.judge
        import crowdqc.volumes  # noqa: F401

from PIL import Image

from crowdqc import volumes
from crowdqc.assignments.history import read_history
from crowdqc.assignments.table import read_assignments
from crowdqc.config import load_config, read_toml
from crowdqc.csv_files import read_csv
from crowdqc.decisions import decisions_file, read_decisions
from crowdqc.findings import Finding, InputError, Reason, dump_findings
from crowdqc.formats import read_study
from crowdqc.formats.guess import guess_study, render_study
from crowdqc.judge import Manifest, load_policy
from crowdqc.links import STATE
from crowdqc.stages.images import known_images
from crowdqc.store import Store
from crowdqc.volumes import read_geometry, read_labels

MEMORY_MAX = 4 * 2**30
"""Bytes of address space; libraries alone take half of it."""
SECONDS_MAX = 20
STUDY = """[study]
name = "s"
[labels]
0 = { name = "spleen", value = 1 }
1 = { name = "liver", value = 2, single = false }
2 = { name = "nodule", value = 3 }
[annotations]
"""
POLICY = """[[rules]]
scope = "label"
measure = "n_slices"
op = "<"
limit = 1
severity = "reject"
because = "a label without slices"
"""
YOLO = 'format = "yolo"\npath = "{rater}/img{case}-slice{slice}.txt"\nsize = [100, 200]\n'
IMAGES = '[images]\npath = "{case}-{slice}.png"\n'
ASSIGNED = '[assignments]\npath = "a.csv"\n'
IMAGE = 'image = "{case}-{slice}.png"\n'
SHAPES = 'shapes = "box"\n'
PLACES = "columns = { image = 1, x_centre = 2, y_centre = 3, box_width = 4, box_height = 5"
PLACES += ", label = 6 }\n"
RLE = {"size": [9, 9], "counts": [10, 3, 68]}
PACKED = {"size": [9, 9], "counts": ":3T2"}
POLYGON = [[1, 1, 5, 1, 5, 7]]
COCO = {
    "images": [{"id": 1, "file_name": "a-0.png", "height": 9, "width": 9, "rater_list": ["r"]}],
    "categories": [{"id": 1, "name": "spleen"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3.5, 4], "rater_id": "r"}
    ],
}
BOX = {"x": 10, "y": 10, "width": 5, "height": 5, "rotation": 0, "rectanglelabels": ["liver"]}
RESULT = {"type": "rectanglelabels", "value": BOX, "original_width": 9, "original_height": 9}
TASK = {
    "data": {"image": "/data/upload/1/0a1b2c3d-a-0.png"},
    "annotations": [{"completed_by": 3, "was_cancelled": False, "result": [RESULT]}],
}
SHAPED = {
    "id": 4,
    "completed_by": {"email": "a@b.c"},
    "updated_at": "2024-01-01T10:00:00Z",
    "lead_time": 3.5,
    "result": [
        {**RESULT, "id": "a", "value": {"points": [[1, 1], [9, 1], [9, 9]], "labels": ["liver"]}},
        {**RESULT, "id": "b", "value": {"x": 50, "y": 50, "radiusX": 9, "radiusY": 5}},
        {**RESULT, "id": "b", "type": "ellipselabels", "value": {"ellipselabels": ["spleen"]}},
        {**RESULT, "id": "c", "value": {"format": "rle", "rle": [0, 0, 1, 68, 57, 8]}},
        {"id": "d", "type": "choices", "value": {"choices": ["clear"]}},
    ],
}
ROW = {
    "image": "a-0.png",
    "annotator": 2,
    "label": [{**BOX, "original_width": 9, "original_height": 9}],
}
CVAT = """<?xml version="1.0"?><annotations><version>1.1</version><meta><task><assignee>
<username>r</username></assignee></task></meta><image id="0" name="a-0.png" width="9" height="9">
<box label="spleen" xtl="1" ytl="2" xbr="3.5" ybr="4" rotation="0"/></image></annotations>"""
CVAT_SHAPES = """<annotations><meta><project><task><id>1</id><state>completed</state><segments>
<segment><start>0</start><stop>1</stop><assignee>r</assignee></segment></segments></task></project>
</meta><image id="0" name="a-0.png" width="9" height="9" task_id="1">
<polygon label="liver" points="1,1;5,1;5,7"/><mask label="spleen" left="1" top="1" width="2"
height="3" rle="6"/><ellipse label="liver" cx="4" cy="4" rx="2" ry="1" rotation="30"/></image>
</annotations>"""
VOC = """<annotation><size><width>9</width><height>9</height></size><object><name>spleen</name>
<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>"""
LIDC = """<LidcReadMessage xmlns="http://www.nih.gov"><readingSession><unblindedReadNodule>
<noduleID>1</noduleID><roi><imageZposition>-1.5</imageZposition><inclusion>TRUE</inclusion>
<edgeMap><xCoord>1</xCoord><yCoord>1</yCoord></edgeMap><edgeMap><xCoord>5</xCoord><yCoord>6</yCoord>
</edgeMap></roi></unblindedReadNodule></readingSession></LidcReadMessage>"""
TABLE = "case,slice,rater,label,x0,y0,x1,y1\np,0,r,spleen,1,2,3,4\np,1,r,,,,,\n"
COLUMNS = 'columns = { case = "case", slice = "slice", rater = "rater", label = "label", '
COLUMNS += 'x0 = "x0", y0 = "y0", x1 = "x1", y1 = "y1" }\nsize = [9, 9]\n'
SCORES = "case,slice,label,dice\nNA,0,spleen,0.5\n,1,liver,nan\n"
DECISIONS = """decision,unit,case,slice,label,object,x0,y0,x1,y1,grade,dice,reviewer,time,seconds
draw,box,p,3,liver,0,1,2,3,4,,,a,2024-01-31T10:00:00Z,3.5
grade,mask,p,3,liver,,,,,,bad,.4,a,,
"""
HISTORY = """date,inputs,rater,case,n_owed,n_left,n_read,n_boxes,agreement,verdict,work
2024-01-31,0a,r,p,9,1,8,4,0.8,accept,0123456789abcdef
2024-01-31,0a,,,9,1,8,4,,,
"""
RECORD = {"stamp": "0", "files": {"boxes.csv": "0" * 64}, "rests_on": [], "signature": "0" * 64}
RECORDS = {"format_version": 2, "study": "s", "crowdqc": "0.1.0", "stages": {"check": RECORD}}
MANIFEST = {
    "format_version": 2,
    "study": "s",
    "created_from": {"boxes.csv": "0" * 64},
    "policy": {},
    "verdict": "accept",
    "raters": [{"rater": "r", "verdict": "accept", "reasons": []}],
    "cases": [
        {
            "case": "p",
            "verdict": "review",
            "reasons": [Reason(measure="n_gaps", because="x").to_record()],
            "labels": {"spleen": {"verdict": "accept", "reasons": []}},
        }
    ],
    "prompts": [
        {
            "case": "p",
            "slice": 0,
            "label": "spleen",
            "method": "median",
            "state": "agreed",
            "x0": 1.0,
            "y0": 1.0,
            "x1": 2.0,
            "y1": 2.0,
            "support": 2,
            "n_raters": 2,
        }
    ],
    "counts": {"prompts": 1},
    "reasons": [],
    "units": {},
}


def nifti():
    image = nib.Nifti1Image(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.eye(4))
    return image.to_bytes()


def itk(ending):
    """A volume that SimpleITK writes."""
    image = SimpleITK.GetImageFromArray(np.arange(24, dtype=np.uint8).reshape(4, 3, 2))
    if ending == ".dcm":
        fields = {"0020|0032": "0\\0\\0", "0020|0037": "1\\0\\0\\0\\1\\0", "0018|0050": "1"}
        image = image[:, :, :1]
        for tag, value in {**fields, "0020|000e": "1.2", "0008|0060": "CT"}.items():
            image.SetMetaData(tag, value)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"v{ending}")
        SimpleITK.WriteImage(image, str(path), useCompression=False)
        return path.read_bytes()


def series(data, folder):
    """A series of one slice."""
    (folder / "s").mkdir(exist_ok=True)
    (folder / "s" / "v.dcm").write_bytes(data)
    try:
        volumes.read_volume(folder / "s")
    except InputError:
        return False
    return True


def reader(name, annotations):
    """A target that reads a study of one file."""

    def target(data, folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        (folder / "study.toml").write_text(STUDY + annotations)
        return study_of(folder)

    return target


def study_of(folder):
    """Whether the study of a folder is read; what comes of it can be written down."""
    try:
        study, findings = read_study(load_config(folder / "study.toml"))
    except InputError as error:
        str(error).encode()
        return False
    dump_findings(findings).encode()
    study.boxes.to_csv().encode()
    return len(study.boxes) > 0


def class_list(data, folder):
    for rater, name in (("r", "classes.txt"), ("s", "data.yaml"), ("t", "notes.json")):
        (folder / rater).mkdir(exist_ok=True)
        (folder / rater / "img1-slice0.txt").write_text("0 .5 .5 .2 .2\n")
        (folder / rater / name).write_bytes(data)
    (folder / "study.toml").write_text(STUDY + YOLO)
    return study_of(folder)


def study_file(data, folder):
    (folder / "r").mkdir(exist_ok=True)
    (folder / "r" / "img1-slice0.txt").write_text("0 .5 .5 .2 .2\n")
    (folder / "study.toml").write_bytes(data)
    return study_of(folder)


def read_state(path):
    """The state file of a folder of results, and what is asked of it."""
    folder = path.parent / "out"
    folder.mkdir(exist_ok=True)
    (folder / STATE).write_bytes(path.read_bytes())
    store = Store(folder, "s")
    for stage in ("check", "gate"):
        store.stamp_of(stage)
        store.changed(stage)
    store.untrusted()


def read_scores(path):
    read_csv(path, text=["case"])


def one_file(name, read):
    """A target that reads one file, or raises `InputError`."""

    def target(data, folder):
        path = folder / name
        path.write_bytes(data)
        try:
            read(path)
        except InputError as error:
            str(error).encode()
            return False
        return True

    return target


def read_manifest(path):
    made = Manifest.read(path)
    made.prompt_table()
    made.accepted_cases()


def beside(name, read, more=""):
    """A target that reads a file which lies beside a study file."""

    def target(data, folder):
        (folder / "study.toml").write_text(STUDY + YOLO + more)
        config = load_config(folder / "study.toml")
        path = folder / name if name else decisions_file(config)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        try:
            found = read(config)
        except InputError as error:
            str(error).encode()
            return False
        return found is not None and len(found) > 0

    return target


def picture(ending):
    with io.BytesIO() as file:
        Image.fromarray(np.arange(81, dtype=np.uint8).reshape(9, 9)).save(file, format=ending)
        return file.getvalue()


def read_volume(path):
    read_geometry(path)
    read_labels(path)


def read_finding(path):
    Finding.from_json(path.read_bytes().decode("utf-8", "replace"))


def guess(data, folder):
    place = folder / "guess"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name in ("p-0.txt", "classes.txt", "a.json", "b.xml", "c.csv"):
        (place / name).write_bytes(data)
    try:
        render_study(guess_study(place), name="s")
    except InputError:
        return False
    return True


TARGETS = {
    "yolo": reader("r/img1-slice0.txt", YOLO + SHAPES),
    "class list": class_list,
    "headless table": reader(
        "b.csv", f'format = "table"\npath = "*.csv"\nrater = "r"\n{PLACES}size = [9, 9]\n'
    ),
    "table": reader("b.csv", f'format = "table"\npath = "b.csv"\n{COLUMNS}'),
    "table.gz": reader("b.csv.gz", f'format = "table"\npath = "b.csv.gz"\n{COLUMNS}'),
    "coco": reader("all.json", f'format = "coco"\npath = "all.json"\n{IMAGE}{SHAPES}'),
    "labelstudio": reader(
        "all.json", f'format = "labelstudio"\npath = "{{rater}}.json"\n{IMAGE}{SHAPES}'
    ),
    "cvat": reader("all.xml", f'format = "cvat"\npath = "*.xml"\n{IMAGE}{SHAPES}'),
    "voc": reader("p.xml", 'format = "voc"\npath = "{case}.xml"\nrater = "r"\nfirst_pixel = 0\n'),
    "lidc": reader("p.xml", 'format = "lidc"\npath = "{case}.xml"\nrater_scope = "case"\n'),
    "study file": study_file,
    "policy": one_file("gate.toml", load_policy),
    "manifest": one_file("manifest.json", read_manifest),
    "toml": one_file("a.toml", read_toml),
    "state": one_file("state.json", read_state),
    "scores": one_file("s.csv", read_scores),
    "scores.gz": one_file("s.csv.gz", read_scores),
    "finding": one_file("f.jsonl", read_finding),
    "nifti": one_file("v.nii", read_volume),
    "nifti.gz": one_file("v.nii.gz", read_volume),
    "nrrd": one_file("v.nrrd", read_volume),
    "mha": one_file("v.mha", read_volume),
    "dicom": series,
    "picture": beside("p-0.png", known_images, IMAGES),
    "decisions": beside("", read_decisions),
    "assignments": beside("a.csv", read_assignments, ASSIGNED),
    "history": one_file("history.csv", read_history),
    "guess": guess,
}
"""Name -> function of bytes and a folder: whether they are read; raises where it must not."""
SEEDS = {
    "yolo": [b"0 .5 .5 .2 .2\r\n1 0.25 0.25 0.1 0.1\r\n", b"0 0.5 0.5 0.2 0.2"],
    "table": [TABLE.encode()],
    "table.gz": [gzip.compress(TABLE.encode(), mtime=0)],
    "class list": [b"spleen\nliver\n", b"names: {0: spleen, 1: liver}\n"],
    "headless table": [b"p.png,4,4,2,2,liver\nq.png,4.5,4,2,2,liver\n"],
    "coco": [
        json.dumps(COCO).encode(),
        *(
            json.dumps({**COCO, "annotations": [{**COCO["annotations"][0], **more}]}).encode()
            for more in (
                {"segmentation": RLE, "bbox": None},
                {"segmentation": PACKED, "bbox": None, "iscrowd": 1},
                {"segmentation": POLYGON, "bbox": None, "attributes": {"rad_id": "R1"}},
            )
        ),
    ],
    "labelstudio": [
        json.dumps([TASK]).encode(),
        json.dumps([ROW]).encode(),
        json.dumps([{**TASK, "annotations": [SHAPED, {**SHAPED, "was_cancelled": True}]}]).encode(),
    ],
    "cvat": [CVAT.encode(), CVAT_SHAPES.encode()],
    "voc": [VOC.encode()],
    "lidc": [LIDC.encode()],
    "study file": [(STUDY + YOLO).encode()],
    "policy": [POLICY.encode()],
    "manifest": [json.dumps(MANIFEST).encode()],
    "toml": [b"a.b.c = 1\n", b"[a.b]\nc = {d.e = 'f'}\n", b'x = """a\\""" """\n[[a]]\n'],
    "state": [json.dumps(RECORDS).encode()],
    "scores": [SCORES.encode()],
    "scores.gz": [gzip.compress(SCORES.encode(), mtime=0)],
    "finding": [b'{"version": 1, "check": "c", "severity": "note", "message": "m", "value": 1.5}'],
    "nifti": [nifti()],
    "nifti.gz": [gzip.compress(nifti(), mtime=0)],
    "nrrd": [itk(".nrrd")],
    "mha": [itk(".mha")],
    "dicom": [itk(".dcm")],
    "picture": [picture("PNG"), picture("TIFF"), picture("JPEG"), picture("GIF")],
    "decisions": [DECISIONS.encode()],
    "assignments": [b"rater,case,label,slices,due,round\nr,1,liver,0-3 7,2024-01-31,1\nr,2,,,,1\n"],
    "history": [HISTORY.encode()],
    "guess": [
        b"0 .5 .5 .2 .2\n",
        json.dumps(COCO).encode(),
        json.dumps([TASK]).encode(),
        CVAT_SHAPES.encode(),
        LIDC.encode(),
        TABLE.encode(),
    ],
}
ODD = [b"nan", b"-1", b"1e308", b"9" * 400, b"0", b"", b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"{}"]
ODD += [b"null", b"[]", b'"', b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"../../x", b"\r", b"]]>"]


def mutated(data, random):
    """A seed with one to four changes."""
    data = bytearray(data)
    for _ in range(random.randint(1, 4)):
        a, b = sorted(random.randint(0, len(data)) for _ in range(2))
        b = min(b, a + 30)
        match random.randint(0, 4):
            case 0:
                data[a:b] = b""
            case 1:
                data[a:a] = random.choice(ODD)
            case 2:
                data[a:b] = random.choice(ODD)
            case 3:
                data[a:a] = data[a:b] * random.choice([1, 2, 300, 20_000])
            case 4 if a < len(data):
                data[a] = random.randrange(256)
    return bytes(data)


def fuzz(name, seconds, random):
    """Inputs tried and read, the longest time of one (s); raises what a target raises."""
    counts, longest = Counter(), 0.0
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    end = time.process_time() + seconds
    while time.process_time() < end:
        data = mutated(random.choice(SEEDS[name]), random)
        began = time.process_time()
        try:
            counts["read"] += bool(TARGETS[name](data, folder))
        except BaseException:
            Path("fuzz-failure.bin").write_bytes(data)
            print(f"{name}: failed, input kept in fuzz-failure.bin", flush=True)
            raise
        took = time.process_time() - began
        longest = max(longest, took)
        if took > SECONDS_MAX:
            Path("fuzz-failure.bin").write_bytes(data)
            sys.exit(f"{name}: took {took:.1f} s, input kept in fuzz-failure.bin")
        counts["tried"] += 1
    shutil.rmtree(folder)
    return counts, longest


def fuzz_guided(name):
    """Run atheris until it finds something or is stopped; further words are libFuzzer's."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, data in enumerate(SEEDS[name]):
        (corpus / str(number)).write_bytes(data)
    atheris.Setup(
        [sys.argv[0], str(corpus), *sys.argv[3:]], lambda data: TARGETS[name](data, folder)
    )
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--atheris"]:
        fuzz_guided(sys.argv[2])
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="CPU seconds for each target")
    parser.add_argument("--only", default=",".join(TARGETS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    print(
        "| what | inputs | still read | slowest, CPU s | peak of the process, GiB |\n"
        "|---|---|---|---|---|",
    )
    for target in options.only.split(","):
        found, slowest = fuzz(target, options.seconds, random_module.Random(options.seed))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"| {target} | {found['tried']:,} | {found['read']:,} | {slowest:.2f} | {peak:.2f} |",
            flush=True,
        )
