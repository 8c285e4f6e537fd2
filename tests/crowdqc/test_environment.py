import os

import pytest

from crowdqc.environment import set_variables


def test_all_is_as_before_also_what_others_set_or_took_away(monkeypatch):
    monkeypatch.setenv("CROWDQC_TEST", "before")
    monkeypatch.setenv("CROWDQC_KEPT", "kept")
    before = dict(os.environ)

    with set_variables({"CROWDQC_TEST": "during"}):
        assert os.environ["CROWDQC_TEST"] == "during"
        assert os.environ["CROWDQC_KEPT"] == "kept"
        os.environ["CROWDQC_OTHER"] = "others'"
        del os.environ["CROWDQC_KEPT"]

    assert dict(os.environ) == before


def test_all_is_as_before_after_an_error():
    before = dict(os.environ)

    with pytest.raises(ZeroDivisionError), set_variables({"CROWDQC_TEST": "1"}):
        1 / 0  # noqa: B018

    assert dict(os.environ) == before
