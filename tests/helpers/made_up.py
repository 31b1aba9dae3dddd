"""Make dataclasses for tests from only the fields that matter."""

import dataclasses
import typing
from collections.abc import Mapping


def made_up(kind, **given):
    """Make a dataclass; a field that is neither given nor has a default gets an empty value of its type."""
    hints = typing.get_type_hints(kind)
    missing = {
        spec.name: empty(hints[spec.name])
        for spec in dataclasses.fields(kind)
        if spec.default is spec.default_factory is dataclasses.MISSING and spec.name not in given
    }
    return kind(**missing, **given)


def empty(hint):
    """Give `None` where a type allows it, otherwise an empty text or collection, 0, or a made-up dataclass."""
    if type(None) in typing.get_args(hint):
        return None
    if dataclasses.is_dataclass(hint):
        return made_up(hint)
    kind = typing.get_origin(hint) or hint
    return {} if kind is Mapping else kind()
