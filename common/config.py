"""The base of all configs: one dataclass defines hyperparameters, defaults, bounds and command-line options.

An experiment's `Config` is a frozen dataclass derived from `BaseConfig`. Each field is made by `option`, with the value
of the source as default, a help text for the command line, and bounds that are checked whenever a config is made.
"""

import argparse
import dataclasses
import functools
import math
import typing
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from common.errors import ConfigError

ConfigT = TypeVar("ConfigT", bound="BaseConfig")
# For fields whose value may be a number or any word, such as the name of a class.
ANY_WORD = "*"


def option(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Any = None,
    word: str | None = None,
) -> Any:
    """Make a field of a `Config`.

    Args:
        default: the published value; `None` for an optional setting that the source does not have.
        help: short description, with the unit.
        minimum: smallest allowed value, inclusive; for a tuple, of every entry. Default: no limit.
        maximum: largest allowed value, inclusive; for a tuple, of every entry. Default: no limit.
        choices: the allowed strings. Default: any value.
        word: a word that is allowed instead of a number, or `ANY_WORD`. Default: none.
    """
    limits = {"minimum": minimum, "maximum": maximum, "choices": choices, "word": word}
    return field(default=default, metadata={"help": help, **limits})


@dataclass(frozen=True)
class BaseConfig:
    """Base class of all configs; checks the bounds of the fields."""

    def __post_init__(self) -> None:
        """Check the bounds of every field.

        Raises:
            ConfigError: a value is out of bounds; the message names the field, the bound and the value.
        """
        for spec in fields(self):
            value = getattr(self, spec.name)
            if value is None and spec.default is None:
                continue
            for entry in value if isinstance(value, tuple) else (value,):
                _check(spec, entry)
            if value == ():
                raise ConfigError(f"{spec.name} needs at least one value")
        self.check()

    def check(self) -> None:
        """Check rules that involve several fields; overridden by configs that have such rules.

        Raises:
            ConfigError: the values of some fields contradict each other; the message names them.
        """

    def to_dict(self) -> dict[str, Any]:
        """Convert the fields that are not `None` to a dict for JSON, with tuples as lists."""
        return {
            spec.name: list(value) if isinstance(value, tuple) else value
            for spec in fields(self)
            if (value := getattr(self, spec.name)) is not None
        }

    def changes(self) -> dict[str, Any]:
        """Collect the fields that differ from the published defaults, in the form of `to_dict`."""
        defaults = type(self)().to_dict()
        return {name: value for name, value in self.to_dict().items() if value != defaults.get(name)}


def _check(spec: dataclasses.Field[Any], value: Any) -> None:
    minimum, maximum, choices, word = (spec.metadata[key] for key in ("minimum", "maximum", "choices", "word"))
    if isinstance(value, str) and word in (value, ANY_WORD):
        return
    if choices is not None and value not in choices:
        raise ConfigError(f"{spec.name} must be one of {', '.join(choices)}. Received: {spec.name}={value}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{spec.name} must be finite. Received: {spec.name}={value}")
    if minimum is not None and value < minimum:
        raise ConfigError(f"{spec.name} must be at least {minimum}. Received: {spec.name}={value}")
    if maximum is not None and value > maximum:
        raise ConfigError(f"{spec.name} must be at most {maximum}. Received: {spec.name}={value}")


def add_options(parser: argparse.ArgumentParser, config_type: type[BaseConfig]) -> None:
    """Add one option to a parser for every field of a config: `batch_size` becomes `--batch-size`."""
    group = parser.add_argument_group("hyperparameters (defaults as published)")
    hints = typing.get_type_hints(config_type)
    for spec in fields(config_type):
        hint, default, choices = hints[spec.name], spec.default, spec.metadata["choices"]
        if hint is bool:
            settings: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
            default = "yes" if default else "no"
        else:
            nargs = "+" if typing.get_origin(hint) is tuple else None
            # The type of one entry of a tuple, or the first type of a union such as `int | None`.
            hint = (typing.get_args(hint) or (hint,))[0]
            metavar = None if choices else "N" if hint is int else "X"
            word = spec.metadata["word"]
            parse = hint if word is None else functools.partial(_number_or_word, hint, word)
            settings = {"type": parse, "nargs": nargs, "choices": choices, "metavar": metavar}
        if isinstance(default, tuple):
            default = " ".join(map(str, default))
        text = spec.metadata["help"] + ("" if default is None else f" (default: {default})")
        group.add_argument(f"--{spec.name.replace('_', '-')}", default=argparse.SUPPRESS, help=text, **settings)


def _number_or_word(number: Callable[[str], Any], word: str, text: str) -> Any:
    if text == word:
        return text
    try:
        return number(text)
    except ValueError as error:
        if word == ANY_WORD and text.strip():
            return text
        raise argparse.ArgumentTypeError(f"a number or the word {word} is needed. Received: {text!r}") from error


def from_options(config_type: type[ConfigT], options: argparse.Namespace) -> ConfigT:
    """Make a config from parsed command-line options; fields that were not given keep their defaults.

    Raises:
        ConfigError: a value is out of bounds.
    """
    names = {spec.name for spec in fields(config_type)}
    given = {name: value for name, value in vars(options).items() if name in names}
    return config_type(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
