"""Make dataclasses and structs for tests from only the fields that matter."""

import dataclasses
import typing
from collections.abc import Mapping

from msgspec import Struct, structs


def made_up(kind, **given):
    """Make an object; a field that is neither given nor has a default gets an empty value of its type."""
    hints = typing.get_type_hints(kind)
    return kind(**{name: empty(hints[name]) for name in required(kind) - given.keys()}, **given)


def required(kind):
    """List the fields without a default."""
    if issubclass(kind, Struct):
        return {spec.name for spec in structs.fields(kind) if spec.required}
    missing = dataclasses.MISSING
    return {spec.name for spec in dataclasses.fields(kind) if spec.default is missing is spec.default_factory}


def empty(hint):
    """Give `None` if the type allows it, otherwise an empty text or collection, 0, or a made-up object."""
    if type(None) in typing.get_args(hint):
        return None
    if dataclasses.is_dataclass(hint) or (isinstance(hint, type) and issubclass(hint, Struct)):
        return made_up(hint)
    kind = typing.get_origin(hint) or hint
    return {} if kind is Mapping else kind()
