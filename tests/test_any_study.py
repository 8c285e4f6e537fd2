"""Whatever people drew, or did not draw, every stage ends with a result or a clear error."""

from dataclasses import dataclass

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crowdqc import plugins
from tests.commands import call

BROKEN = ["x", "0 nan 0 0 0", "0 .5 .5 0 0", "9 .5 .5 .1 .1", "0 .5 .5 2 2", "0 1e308 .5 .1 .1"]
COMMANDS = [
    ("check",),
    ("agree",),
    ("fuse", "--next-raters"),
    ("complete", "--todo"),
    ("gate", "--explain", "study"),
    ("report", "--format", "json"),
    ("plan",),
]


@dataclass(frozen=True)
class Drawn:
    """How many there are of everything, and how raters draw."""

    seed: int
    raters: int
    cases: int
    slices: int
    labels: int
    single: bool
    opened: float
    drawn: float
    broken: float
    noise: float
    size: tuple[float, float]
    method: str
    interpolate: bool
    empty_file: str
    spacing: bool


studies = st.builds(
    Drawn,
    seed=st.integers(0, 10**6),
    raters=st.sampled_from([1, 2, 3, 5]),
    cases=st.sampled_from([1, 2, 4]),
    slices=st.sampled_from([1, 2, 5, 12]),
    labels=st.sampled_from([1, 2, 3]),
    single=st.booleans(),
    opened=st.sampled_from([0.3, 0.9, 1.0]),
    drawn=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    broken=st.sampled_from([0.0, 0.1]),
    noise=st.sampled_from([0.0, 0.01, 0.2]),
    size=st.sampled_from([(0.001, 0.004), (0.05, 0.3)]),
    method=st.sampled_from(plugins.names("crowdqc.fusion")),
    interpolate=st.booleans(),
    empty_file=st.sampled_from(["infer", "nothing", "unread"]),
    spacing=st.booleans(),
)


def draw(study, folder):
    """Write the annotations and the study file; its path."""
    rng = np.random.default_rng(study.seed)
    for rater in range(study.raters):
        (folder / "boxes" / f"r{rater}").mkdir(parents=True)
        for case, k in np.ndindex(study.cases, study.slices):
            if rng.random() < study.opened:
                lines = "\n".join(_lines(study, (case, k), rng))
                (folder / "boxes" / f"r{rater}" / f"c{case}-{k}.txt").write_text(lines)
    labels = "\n".join(
        f'{i} = {{ name = "L{i}", value = {i + 1}, single = {str(study.single).lower()} }}'
        for i in range(study.labels)
    )
    spacing = "spacing = [0.7, 0.9, 3.0]" if study.spacing else ""
    file = folder / "study.toml"
    file.write_text(f"""
[study]
name = "any"
[labels]
{labels}
[annotations]
format = "yolo"
path = "boxes/{{rater}}/{{case}}-{{slice}}.txt"
size = [100, 120]
empty_file = "{study.empty_file}"
{spacing}
[agree]
bootstrap = 20
[fuse]
method = "{study.method}"
interpolate = {str(study.interpolate).lower()}
""")
    return file


def _lines(study, place, rng):
    for label in range(study.labels):
        there = np.random.default_rng([study.seed, label, *place]).uniform(0.3, 0.7, 2)
        for _ in range(1 if study.single else rng.integers(0, 4)):
            if rng.random() < study.broken:
                yield rng.choice(BROKEN)
            elif rng.random() < study.drawn:
                size = rng.uniform(*study.size, 2)
                centre = there + rng.normal(0, study.noise, 2)
                x, y = np.clip(centre, size / 2, 1 - size / 2)
                yield f"{label} {x:.6f} {y:.6f} {size[0]:.6f} {size[1]:.6f}"


def plain(**fields):
    """A study of two raters who drew everything, but for what is said otherwise."""
    usual = {
        "seed": 0, "raters": 2, "cases": 1, "slices": 5, "labels": 1, "single": True,
        "opened": 1.0, "drawn": 1.0, "broken": 0.0, "noise": 0.01, "size": (0.05, 0.3),
        "method": "edges", "interpolate": False, "empty_file": "nothing", "spacing": True,
    }  # fmt: skip
    return Drawn(**{**usual, **fields})


@settings(max_examples=6, deadline=None)
@given(studies)
@example(plain(drawn=0.0))
@example(plain(drawn=0.0, empty_file="infer"))
@example(plain(opened=0.3, slices=12, interpolate=True))
@example(plain(raters=1, slices=1))
@example(plain(noise=0.2, size=(0.001, 0.004), single=False))
def test_every_stage_ends_well(tmp_path_factory, study):
    file = draw(study, tmp_path_factory.mktemp("any"))

    for command, *options in COMMANDS:
        words = [command, str(file), *options, "--quiet"]
        result = call(*words)
        assert result.exit_code in {0, 3} or _says_why(result.stderr), (words, result.stderr)


def _says_why(text):
    """The only errors that these studies give cause for."""
    known = ("no file fits this pattern", "No object was drawn by two raters")
    return any(reason in text for reason in known)
