"""Requests of teaching, from examples as programs have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lapel import v1
from lapel.images import Image, encode
from lapel.values import texts


def teach_request(
    name: str,
    *,
    items: Mapping[str, Sequence[str]] | None,
    images: Mapping[str, Sequence[Image]] | None,
    words: Mapping[str, Sequence[str]] | None,
    label_attribute: str,
    field: str,
) -> v1.TeachRequest:
    """A request with where its examples come from. TypeError: from nowhere, or from several places."""
    has_examples = items is not None or images is not None
    if has_examples + bool(label_attribute) + bool(field) + (words is not None) != 1:
        raise TypeError("examples (items, images or both), words, label_attribute or field is wanted, one of them")
    if words is not None:
        labels = [
            v1.WordedLabel(label=label, prompts=texts(f"words[{label!r}]", said)) for label, said in words.items()
        ]
        return v1.TeachRequest(name=name, words=v1.TaughtWords(labels=labels))
    if label_attribute:
        return v1.TeachRequest(name=name, label_attribute=label_attribute)
    if field:
        return v1.TeachRequest(name=name, field=field)
    examples = [
        *(
            v1.TaughtExample(label=label, item_id=one)
            for label, ids in (items or {}).items()
            for one in texts(f"items[{label!r}]", ids)
        ),
        *(
            v1.TaughtExample(label=label, image=encode(image))
            for label, photos in (images or {}).items()
            for image in photos
        ),
    ]
    return v1.TeachRequest(name=name, examples=v1.TaughtExamples(examples=examples))
