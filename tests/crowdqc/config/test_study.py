import pytest

from crowdqc.config import load_config
from crowdqc.findings import InputError

GOOD = """
[study]
name = "s"
[labels]
0 = { name = "spleen", value = 1 }
1 = { name = "liver", value = 2 }
[annotations]
format = "yolo"
path = "boxes/{rater}/{case}-{slice}.txt"
size = [512, 256]
"""


def load(tmp_path, text):
    path = tmp_path / "study.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


def test_a_study_file_is_read_with_paths_relative_to_it(tmp_path):
    config = load(tmp_path, GOOD)

    assert config.label_names == ("spleen", "liver")
    assert config.annotations.size == (512, 256)
    assert config.out == tmp_path / "out"
    assert config.resolve("../x") == tmp_path.parent / "x"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "s"', 'nmae = "s"', r"'study.nmae' is not a known key; did you mean 'name'\?"),
        ('name = "s"', "", "'study.name' is missing"),
        ('name = "s"', 'name = "a/b"', r"'study.name': .*got 'a/b'"),
        ("value = 2", 'value = "2"', "'labels.1.value': .*integer"),
        ("value = 2", "value = 1", "values of labels must differ; more than once: 1"),
        ('"liver"', '"spleen"', "names of labels must differ; more than once: spleen"),
        ("value = 2", "valeu = 2", r"'labels.1.valeu' .*did you mean 'value'"),
        ('"yolo"', '"yollo"', "'annotations.format'"),
        ("[512, 256]", "[512]", "'annotations.size"),
        ("value = 2", 'value = 2, also = "foie"', "'labels.1.also': must be a list .*got 'foie'"),
        ("size", 'rater_of = { livr = "A" }\nsize', ".*'livr'; did you mean 'liver'"),
        ("[annotations]", "[images]\nwindow = { level = 4 }\n[annotations]", "'images.window'"),
        ("[annotations]", "[fusee]\n[annotations]", "'fusee' .*did you mean 'fuse'"),
        ("[study]", "[study", "is not valid TOML: .*line 2"),
    ],
)
def test_each_fault_is_named_with_its_place(tmp_path, old, new, says):
    with pytest.raises(InputError, match=f"(?s)study.toml: {says}") as caught:
        load(tmp_path, GOOD.replace(old, new, 1))

    assert "Traceback" not in str(caught.value)


def test_a_label_has_the_tolerance_of_its_own_or_the_common_one(tmp_path):
    assert load(tmp_path, GOOD).tolerances_mm == {"spleen": 2.0, "liver": 2.0}
    truth = "[truth]\ntolerance_mm = 1\ntolerances_mm = { liver = 3 }\n"
    assert load(tmp_path, GOOD + truth).tolerances_mm == {"spleen": 1.0, "liver": 3.0}
    with pytest.raises(InputError, match=r"truth.tolerances_mm .*'livr'; did you mean 'liver'"):
        load(tmp_path, GOOD + truth.replace("liver", "livr"))
    with pytest.raises(InputError, match=r"'truth.tolerance_mm': .*greater than or equal to 0"):
        load(tmp_path, GOOD + truth.replace("1", "-1"))


def test_simulated_raters_write_an_empty_file_for_what_they_found_empty(tmp_path):
    drawn = "[simulate.raters.a]\n[truth]\npath = 't/{case}.nii.gz'\n"
    config = load(tmp_path, GOOD[: GOOD.index("[annotations]")] + drawn)

    assert config.annotations.empty_file == "nothing"


def test_all_faults_are_told_at_once(tmp_path):
    text = GOOD.replace('name = "s"', 'nmae = "s"').replace("value = 2", "value = 0")

    with pytest.raises(InputError) as caught:
        load(tmp_path, text)

    assert len(str(caught.value).splitlines()) == 3


def test_a_variable_without_its_data_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("SOME_DATA", raising=False)
    text = GOOD.replace('"boxes/', '"${SOME_DATA:-../gone}/')
    config = load(tmp_path, text)

    with pytest.raises(InputError, match="environment variable SOME_DATA, which is not set"):
        config.resolve(config.annotations.path)
    monkeypatch.setenv("SOME_DATA", str(tmp_path))
    assert config.resolve(config.annotations.path).is_relative_to(tmp_path)
