"""Anything in place of what we read: it is read, or refused with a message, and nothing else.

`benchmarks/fuzz.py` tries far more of the same with coverage as its guide.
"""

import copy
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz import SEEDS, TARGETS, mutated
from crowdqc.findings import InputError
from crowdqc.judge import Manifest, load_policy
from tests.crowdqc.judge.tables import manifest

ROOT = Path(__file__).parents[1]
ODD = [None, True, -1, 10**400, 1e308, float("nan"), "", "../../x", "\ud800", [], {}, [[]], [None]]
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.mark.parametrize("name", sorted(TARGETS))
@settings(max_examples=12, suppress_health_check=SLOW)
@given(random=st.randoms(use_true_random=False))
def test_a_seed_with_a_few_changes_is_read_or_refused(name, tmp_path, random):
    data = mutated(random.choice(SEEDS[name]), random)

    TARGETS[name](data, tmp_path)  # raises whatever is no InputError


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_every_seed_is_read(name, tmp_path):
    for number, data in enumerate(SEEDS[name]):
        folder = tmp_path / str(number)
        folder.mkdir()

        assert TARGETS[name](data, folder)


def places(value, path=()):
    """Every place in a tree of dicts and lists."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


RECORD = json.loads(manifest().to_json())
PLACES = [path for path in places(RECORD) if path]


@settings(max_examples=60)
@given(path=st.sampled_from(PLACES), value=st.sampled_from(ODD))
def test_a_manifest_with_one_odd_value_is_read_or_refused(path, value):
    record = copy.deepcopy(RECORD)
    inner = record
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value

    try:
        made = Manifest.from_json(json.dumps(record))
        made.prompt_table()
        made.accepted_cases()
    except InputError as error:
        str(error).encode()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, "nan", "\ud800"])
def test_a_manifest_that_harms_is_refused(tmp_path, text):
    path = tmp_path / "manifest.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    with pytest.raises(InputError, match=r"manifest\.json: "):
        Manifest.read(path)


@pytest.mark.parametrize("limit", ["nan", "inf", '"one"', "1e999"])
def test_a_policy_with_a_limit_that_is_none_is_refused(tmp_path, limit):
    path = tmp_path / "gate.toml"
    path.write_text(
        '[[rules]]\nscope = "label"\nmeasure = "n_slices"\nop = "<"\n'
        f'limit = {limit}\nseverity = "reject"\nbecause = "so"\n'
    )

    with pytest.raises(InputError, match="limit"):
        load_policy(path)
