"""YAML 1.2: which words are numbers; keys that occur twice; files that are none."""

import math

import pytest

from symnets.yaml_files import read_yaml, scalar, yaml_text


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        ("1.e2", 100.0),
        (".5", 0.5),
        ("-.5e+1", -5.0),
        ("+1", 1),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("Null", None),
        ("", None),
    ],
)
def test_words_with_a_value(word, value):
    found = scalar(word)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "word",
    [
        "1_000",
        "1:30",
        "yes",
        "no",
        "on",
        "off",
        "Y",
        "tRue",
        "0b11",
        "1e",
        "e3",
        ".",
        "+",
        "inf",
        "nan",
        "1.2.3",
        "2024-01-01",
        "0o18",
        "-0x1F",
        "½",
        "١",
    ],
)
def test_words_that_are_text(word):
    assert scalar(word) == word


def test_not_a_number_is_one():
    assert math.isnan(scalar(".nan"))


def read(tmp_path, content):
    path = tmp_path / "c.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_yaml(path)


def test_a_file_has_the_values_of_its_words(tmp_path):
    text = "a: 1e-3\nb: [yes, '1', !!float 3, 0x10]\nc: &x {d: 2}\ne: *x\nf: {<<: *x, g: 1:30}\n? 5\n: null\n"
    assert read(tmp_path, text) == {
        "a": 1e-3,
        "b": ["yes", "1", 3.0, 16],
        "c": {"d": 2},
        "e": {"d": 2},
        "f": {"d": 2, "g": "1:30"},
        5: None,
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(tmp_path, encoding):
    assert read(tmp_path, "größe: 3 # Å\n".encode(encoding)) == {"größe": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: key 'a' occurs twice, first in line 1; keep one"),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", "line 4: key 'b' occurs twice, first in line 2"),
        ("a: {b: 1, 'b': 2}\n", "line 1: key 'b' occurs twice"),
        ("a: &x [*x]\n", "line 1: an alias refers to the list or mapping that contains it"),
        ("a: *none\n", "line 1: not a YAML file: found undefined alias 'none'; put text that begins with"),
        ("a: 1\n\tb: 2\n", "line 2: not a YAML file: .*spaces, not tabs"),
        ("a: 1\nb:2\n", "line 2: not a YAML file: .*space after the colon"),
        ("a: b: c\n", "line 1: not a YAML file: .*in quotes"),
        ("a: @b\n", "line 1: not a YAML file: .*put text that begins with this character in quotes"),
        ("a: !!timestamp 2024-01-01\n", "line 1: not a YAML file: .*without a tag"),
        ("a: !!int x\n", "line 1: 'x' is not of type !!int"),
        ("a: " + "9" * 5000, "line 1: expected a number of at most 1000 digits, got one of 5000"),
        ("a: " + "[" * 600 + "]" * 600, "nested too deeply"),
        ("a: \0\n", "not a YAML file: it contains the character"),
        ("--- {a: 1}\n--- {b: 2}\n", "line 2: not a YAML file: but found another document"),
        ("a: 1 #" + "x" * 1_000_000, "at most 1 MB; is it a configuration"),
        ("", "expected `key: value` lines, got an empty file"),
        ("- a\n", "expected `key: value` lines, got a list"),
        ("seven", "expected `key: value` lines, got only 'seven'"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}")


def test_aliases_cannot_make_a_large_file_of_a_small_one(tmp_path):
    levels = [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 10)]
    with pytest.raises(
        ValueError, match="line 1: the aliases of this file expand to more than 100,000 values"
    ):
        read(tmp_path, "\n".join(["x0: &x0 [1, 2]", *levels]))


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such configuration file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(ValueError, match="expected a configuration file, got a folder"):
        read_yaml(tmp_path)


def test_written_values_are_read_equal_by_this_and_older_rules(tmp_path):
    import yaml

    words = ["1e-3", "yes", "0o7", "1_0", "x"]
    values = {"a": words, "b": {"c": 1e-7, "d": True, "e": None, "f": 10**20, "g": ""}}
    text = yaml_text(values)
    assert read(tmp_path, text) == values
    assert yaml.safe_load(text) == values
