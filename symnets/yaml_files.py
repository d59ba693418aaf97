"""YAML by the core schema of YAML 1.2: `1e-3` is a number; `yes`, `off`, `1_000` and `1:30` are text.

PyYAML follows YAML 1.1 and reads them the other way round. Here, also, a key that occurs twice is an error,
and a file yields only text, numbers, booleans, null, lists and mappings.
"""

import codecs
import re
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

Scalar = str | int | float | bool | None

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_BYTES, _VALUES, _DIGITS = 1_000_000, 100_000, 1000
"""Limits: bytes of a file, values in it after aliases are replaced, and digits of a whole number."""
_TAG = "tag:yaml.org,2002:"
_TAGS = {
    type(None): f"{_TAG}null",
    bool: f"{_TAG}bool",
    int: f"{_TAG}int",
    float: f"{_TAG}float",
    str: f"{_TAG}str",
}
_ADVICE = {
    "'\\t'": "indent and separate with spaces, not tabs",
    "expected ':'": "write `key: value`, with a space after the colon",
    "mapping values": "put text that contains a colon in quotes, and indent keys of one level alike",
    "cannot start any token": "put text that begins with this character in quotes",
    "escape character": "put text that contains backslashes in single quotes",
    "constructor for the tag": "write plain values, without a tag that begins with !",
    "undefined alias": "put text that begins with * in quotes",
}
"""What to do, by a part of PyYAML's message."""


def scalar(text: str) -> Scalar:
    """Value of a YAML word without quotes: null, a boolean, a number or text.

    Raises:
        ValueError: a whole number of more than 1,000 digits.

    Example:
        >>> [scalar(word) for word in ("1e-3", "0o17", "yes", "True", "1_000", "")]
        [0.001, 15, 'yes', True, '1_000', None]
    """
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        if len(text) > _DIGITS:
            raise ValueError(f"expected a number of at most {_DIGITS} digits, got one of {len(text)}")
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(re.sub(r"\.(?=[a-zA-Z])", "", text))  # Python writes inf without the dot
    return text


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    The file is UTF-8, with or without a byte-order mark, UTF-16, or Latin-1.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not YAML, does not contain a mapping, has a key twice, or is much larger than
            a configuration; the message gives the line where there is one.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such configuration file")
    if path.is_dir():
        raise ValueError(f"{path}: expected a configuration file, got a folder")
    if path.stat().st_size > _BYTES:
        raise ValueError(f"{path}: expected a YAML file of at most 1 MB; is it a configuration?")
    try:
        values = yaml.load(_text(path.read_bytes()), _Loader)
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"{path}{_line(error)}: {_problem(error)}") from error
    except yaml.reader.ReaderError as error:
        raise ValueError(
            f"{path}: not a YAML file: it contains the character {error.character!r}; is it a text file?"
        ) from error
    except RecursionError:
        raise ValueError(f"{path}: lists or mappings are nested too deeply") from None
    if not isinstance(values, dict):
        found = {list: "a list", type(None): "an empty file"}.get(type(values), f"only {values!r:.40}")
        raise ValueError(f"{path}: expected `key: value` lines, got {found}")
    return values


def yaml_text(values: Any) -> str:
    """YAML of plain values that `read_yaml`, and programs that follow YAML 1.1, read back equal."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False)


def _text(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _problem(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's message in one line, with advice."""
    if isinstance(error, ConstructorError) and error.context is None and "tag" not in str(error.problem):
        return str(error.problem)  # an error of `_fault`
    text = f"not a YAML file: {error.problem}"
    return text + next((f"; {advice}" for part, advice in _ADVICE.items() if part in text), "")


def _line(error: yaml.MarkedYAMLError) -> str:
    begins = error.context_mark if "expected ':'" in str(error.problem) else None
    mark = begins or error.problem_mark or error.context_mark
    return "" if mark is None else f", line {mark.line + 1}"


class _Loader(yaml.SafeLoader):
    """PyYAML's loader with other rules for words without quotes, and checks of keys and of sizes."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """Tag of a value that has none in the file."""
        if kind is not yaml.ScalarNode or not implicit[0]:
            return super().resolve(kind, value, (False, True))
        if value == "<<":  # keys of another mapping, which YAML 1.2 leaves to applications
            return f"{_TAG}merge"
        try:
            return _TAGS[type(scalar(value))]
        except ValueError:  # raised again, with its line, when the value is made
            return _TAGS[int]

    def get_single_node(self) -> Any:
        """The root of the file, checked for its size."""
        root: Any = super().get_single_node()
        if root is not None and _size(root, {}) > _VALUES:
            raise _fault("the aliases of this file expand to more than 100,000 values", root)
        return root

    def compose_mapping_node(self, anchor: Any) -> Any:
        """A mapping, whose keys must differ."""
        node: Any = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], Any] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                before = first.setdefault((key.tag, key.value), key)
                if before is not key:
                    line = before.start_mark.line + 1
                    raise _fault(f"key {key.value!r} occurs twice, first in line {line}; keep one", key)
        return node

    def construct_word(self, node: Any) -> Scalar:
        """Value of a word without quotes, or with a tag such as `!!float`."""
        text = self.construct_scalar(node)
        try:
            value = scalar(text)
        except ValueError as error:
            raise _fault(str(error), node) from None
        if node.tag == _TAGS[float] and isinstance(value, int):
            value = float(value)
        if node.tag != _TAGS[type(value)]:
            raise _fault(f"{text!r} is not of type !!{node.tag.removeprefix(_TAG)}", node)
        return value


_Loader.yaml_constructors = {
    tag: yaml.SafeLoader.yaml_constructors[tag] for tag in (f"{_TAG}map", f"{_TAG}seq", _TAGS[str], None)
} | {tag: _Loader.construct_word for kind, tag in _TAGS.items() if kind is not str}


class _Dumper(yaml.SafeDumper):
    """PyYAML's dumper, which also quotes text that YAML 1.2 takes for a number."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """Tag that a reader gives to a value."""
        tag = super().resolve(kind, value, implicit)
        return _TAGS[type(scalar(value))] if tag == _TAGS[str] and implicit[0] else tag


def _fault(text: str, node: yaml.Node) -> ConstructorError:
    return ConstructorError(None, None, text, node.start_mark)


def _size(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Number of values below a node after all aliases are replaced."""
    if id(node) not in known:
        known[id(node)] = None  # being counted
        parts = node.value if isinstance(node, yaml.CollectionNode) else ()
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in parts for part in pair]
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    size = known[id(node)]
    if size is None:
        raise _fault("an alias refers to the list or mapping that contains it", node)
    return size
