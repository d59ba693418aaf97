"""ModelConfig: architecture of a potential and its options, read off the architecture's constructor."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, make_dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema
from torch import nn
from typing_extensions import Doc

from symnets.config import OutOfRange, check_annotated, check_keys, validate
from symnets.models import FROM_DATA, architectures, find_architecture

_ZBL = Annotated[bool, Doc("Add the ZBL repulsion of close nuclei.")]


class ModelConfig:
    """Architecture of a potential, and the arguments of its constructor that training does not set itself.

    Defaults, types and ranges are those of the constructor. `species`, `mean_neighbors`, `shift` and
    `scale` come from the training data (`symnets.models.FROM_DATA`).

    Args:
        architecture: a name in `symnets.models.architectures()`, or the import path of a class of your own,
            such as "mine.nets:MyNet", whose module is imported.
        options: arguments of the constructor, and `zbl`, which adds the ZBL repulsion of close nuclei.

    Raises:
        ValueError: the architecture or an option is unknown; the message names the nearest valid one.
        OutOfRange: an option is out of the range in its annotation.

    Example:
        >>> ModelConfig("MACE", channels=32).lmax
        3
    """

    architecture: str
    cutoff: float
    zbl: bool

    # An instance belongs to a subclass: one frozen dataclass for each architecture, its options as fields.
    def __new__(cls, architecture: str = "NequIP", **options: Any) -> "ModelConfig":
        """An instance of the dataclass that belongs to the architecture."""
        if cls is not ModelConfig:
            return object.__new__(cls)
        variant = cls.variant({"architecture": architecture})
        check_keys(variant, options, architecture)
        return object.__new__(variant)

    def __init__(self, architecture: str = "NequIP", **options: Any) -> None:
        """Never called: the dataclass of each architecture has its own `__init__`."""
        raise AssertionError("an instance belongs to a variant")

    def __getattr__(self, name: str) -> Any:
        """Raise AttributeError; defined so that type checkers accept the options of any architecture."""
        raise AttributeError(f"{type(self).__name__} has no option {name!r}")

    @classmethod
    def variant(cls, values: Mapping[str, Any]) -> "type[ModelConfig]":
        """The dataclass whose fields are the options of the architecture that `values` names."""
        name = values.get("architecture", "NequIP")
        if not isinstance(name, str):
            raise ValueError(f"architecture: expected a name such as NequIP, got {name!r:.80}")
        try:
            return _variant(name, find_architecture(name))
        except ValueError as error:
            raise ValueError(f"architecture: {error}") from error

    def options(self) -> dict[str, Any]:
        """Arguments of the constructor, by name."""
        return {name: value for name, value in vars(self).items() if name not in ("architecture", "zbl")}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by the name of the architecture: its dataclass has no import path."""
        return _rebuild, (asdict(self),)  # pyright: ignore[reportArgumentType]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Schema that validates a mapping by the dataclass of the architecture that it names."""
        if cls is not ModelConfig:
            return handler(source)
        return core_schema.no_info_plain_validator_function(_validated)


def _rebuild(values: Mapping[str, Any]) -> ModelConfig:
    return ModelConfig(**values)


def _validated(values: Any) -> ModelConfig:
    if not isinstance(values, Mapping):
        raise ValueError(f"expected options such as {{architecture: NequIP}}, got {values!r:.80}")
    return validate(ModelConfig.variant(values), values)


def _immutable(hint: Any) -> Any:
    """A type hint with tuples in place of sequences: options can be hashed."""
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        return Annotated[_immutable(inner), *extras]
    return tuple[*get_args(hint), ...] if get_origin(hint) is Sequence else hint


@cache
def _variant(name: str, architecture: type[nn.Module]) -> type[ModelConfig]:
    """Dataclass of the arguments of an architecture's constructor, with their defaults and annotations."""
    choices = f"Architecture: {', '.join(architectures())}, or mine.module:MyNet."
    fields: list[Any] = [("architecture", Annotated[Literal[name], Doc(choices)], field(default=name))]
    hints = get_type_hints(architecture.__init__, include_extras=True)
    for option, parameter in list(inspect.signature(architecture).parameters.items()):
        if option not in FROM_DATA:
            if parameter.default is parameter.empty or option not in hints:
                raise ValueError(f"{name}: expected a type and a default of its argument {option}")
            fields.append((option, _immutable(hints[option]), field(default=parameter.default)))
    if "zbl" not in hints:
        fields.append(("zbl", _ZBL, field(default=False)))

    def check(self: ModelConfig) -> None:
        if self.architecture != name:
            raise ValueError(f'architecture: write ModelConfig("{self.architecture}", ...), not replace(...)')
        check_annotated("model", self)
        if check_options := getattr(architecture, "check_options", None):
            try:
                check_options(self.options())
            except OutOfRange as error:
                raise OutOfRange(f"model.{error}") from error

    return make_dataclass(
        f"{architecture.__name__}Config",
        fields,
        bases=(ModelConfig,),
        frozen=True,
        namespace={"__doc__": architecture.__doc__, "__post_init__": check},
    )
