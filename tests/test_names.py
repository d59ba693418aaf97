"""Unknown names are answered with the nearest known one."""

import pytest

from symnets.names import did_you_mean, nearest


@pytest.mark.parametrize(("name", "expected"), [("chanels", "channels"), ("LMAX", "lmax"), ("mace", "MACE")])
def test_nearest_name_is_the_most_similar_in_any_case(name, expected):
    assert nearest(name, ["cutoff", "channels", "lmax", "MACE"]) == [expected]


def test_several_nearest_names_begin_with_the_most_similar():
    assert nearest("layer", ["cutoff", "layers", "lay", "zbl"], n=2) == ["layers", "lay"]
    assert nearest("x", []) == []


def test_message_has_the_nearest_name_and_all_valid_ones():
    assert did_you_mean("fo", ["foo", "bar"]) == "did you mean 'foo'? Valid: foo, bar"
    assert did_you_mean("fo", []) == "there are none"
