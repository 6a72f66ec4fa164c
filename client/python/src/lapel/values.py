"""Values of items' fields and signatures, from Python to messages and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import ArrayLike, NDArray

from lapel import v1

#: Of a keyword, several of them, a whole number, a number, yes or no, and a moment (naive ones are taken as UTC).
Value: TypeAlias = str | Sequence[str] | int | float | bool | datetime


def texts(name: str, given: Iterable[str]) -> list[str]:
    """What is given for an argument that takes several texts. TypeError: one text, which would be taken letter by letter."""
    if isinstance(given, str | bytes):
        raise TypeError(f"{name} takes several texts: [{given!r}] for one")
    found = list(given)
    for one in found:
        if not isinstance(one, str):
            raise TypeError(f"{name} takes texts, and {one!r} is none")
    return found


def field_value(value: Value | v1.FieldValue) -> v1.FieldValue:
    """A value of a field. The kind follows the type: 5 is an integer and 5.0 a number, and a field has values of one kind."""
    match value:
        case v1.FieldValue():
            return value
        # Before int, which it is, too.
        case bool() | np.bool_():
            return v1.FieldValue(boolean=bool(value))
        case str():
            return v1.FieldValue(keyword=value)
        case int() | np.integer():
            return v1.FieldValue(integer=int(value))
        case float() | np.floating():
            return v1.FieldValue(number=float(value))
        case datetime():
            moment = Timestamp()
            moment.FromDatetime(value if value.tzinfo else value.replace(tzinfo=UTC))
            return v1.FieldValue(timestamp=moment)
        case list() | tuple() | set() | frozenset():
            return v1.FieldValue(keywords=v1.KeywordList(keywords=texts("a field of keywords", value)))
    raise TypeError(f"no field has a value of the type {type(value).__module__}.{type(value).__qualname__}")


def python_value(value: v1.FieldValue) -> Value:
    """The value of a field as Python has it."""
    match value.WhichOneof("kind"):
        case "keywords":
            return tuple(value.keywords.keywords)
        case "timestamp":
            return value.timestamp.ToDatetime(tzinfo=UTC)
        case None:
            raise ValueError("the value is of a kind that this client does not know")
        case kind:
            found: Value = getattr(value, kind)
            return found


def python_values(fields: Mapping[str, v1.FieldValue]) -> dict[str, Value]:
    """The values of an item's or result's fields as Python has them.

    >>> lapel.python_values(client.items.get("coat-01").fields)
    {'price': 79.9, 'in_stock': True}
    """
    return {name: python_value(value) for name, value in fields.items()}


def signature_list(signatures: Mapping[str, ArrayLike]) -> list[v1.Signature]:
    """Messages of signatures by head."""
    return [
        v1.Signature(head=head, values=np.asarray(values, np.float32).ravel().tolist())
        for head, values in signatures.items()
    ]


def arrays(signatures: Iterable[v1.Signature]) -> dict[str, NDArray[np.float32]]:
    """Signatures by head as arrays of float32, of unit length.

    >>> lapel.arrays(client.describe("dress.jpg", include_signatures=True).signatures)["color"].shape
    (19,)
    """
    return {one.head: np.array(one.values, np.float32) for one in signatures}
