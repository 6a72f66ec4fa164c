"""Filters as calls: which items are searched, listed, counted or deleted.

>>> from lapel import filters as f
>>> cheap_dresses = f.all_of(f.label("category", "dress"), f.between("price", below=50.0))
>>> client.search(image="dress.jpg", filter=cheap_dresses)
"""

from __future__ import annotations

from lapel import v1
from lapel.values import Value, field_value


def all_of(*filters: v1.Filter) -> v1.Filter:
    """Passes where all of these do."""
    return v1.Filter(all=v1.FilterList(filters=filters))


def any_of(*filters: v1.Filter) -> v1.Filter:
    """Passes where at least one of these does."""
    return v1.Filter(any=v1.FilterList(filters=filters))


def none_of(*filters: v1.Filter) -> v1.Filter:
    """Passes where not one of these does."""
    return v1.Filter(none=v1.FilterList(filters=filters))


def ids(*item_ids: str) -> v1.Filter:
    """The item's id is one of these; ids that do not exist are no fault."""
    return v1.Filter(ids=v1.IdFilter(item_ids=item_ids))


def label(attribute: str, *labels: str, allow_unknown: bool = False) -> v1.Filter:
    """The stored label of the attribute is one of these."""
    return v1.Filter(label=v1.LabelFilter(attribute=attribute, labels=labels, allow_unknown=allow_unknown))


def has_label(attribute: str, exists: bool = True) -> v1.Filter:
    """There is a stored label of the attribute, or there is none."""
    return v1.Filter(label=v1.LabelFilter(attribute=attribute, exists=exists))


def predicted(attribute: str, *labels: str, probability_min: float | None = None) -> v1.Filter:
    """The head of the attribute sees one of these labels, surely or with at least this probability."""
    condition = v1.PredictedFilter(attribute=attribute, labels=labels, probability_min=probability_min)
    return v1.Filter(predicted=condition)


def field(name: str, *values: Value, allow_unknown: bool = False) -> v1.Filter:
    """The field's value is one of these."""
    if len(values) == 1:
        one = v1.FieldFilter(field=name, equals=field_value(values[0]), allow_unknown=allow_unknown)
        return v1.Filter(field=one)
    among = v1.FieldValueList(values=map(field_value, values))
    return v1.Filter(field=v1.FieldFilter(field=name, any_of=among, allow_unknown=allow_unknown))


def has_field(name: str, exists: bool = True) -> v1.Filter:
    """The item has a value in the field, or has none."""
    return v1.Filter(field=v1.FieldFilter(field=name, exists=exists))


def between(
    name: str,
    *,
    at_least: Value | None = None,
    above: Value | None = None,
    at_most: Value | None = None,
    below: Value | None = None,
) -> v1.Filter:
    """The field's value lies within; at least one end must be given, and each once."""
    if (at_least is not None and above is not None) or (at_most is not None and below is not None):
        raise ValueError("one of at_least and above, and one of at_most and below")
    ends = {"from": at_least, "above": above, "to": at_most, "below": below}
    limits = {end: field_value(value) for end, value in ends.items() if value is not None}
    return v1.Filter(field=v1.FieldFilter(field=name, range=v1.FieldRange(**limits)))
