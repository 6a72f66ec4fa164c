"""Requests of searches, from what programs have at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

from numpy.typing import ArrayLike

from lapel import v1
from lapel.images import Image, encode
from lapel.values import signature_list, texts


class QueryOptions(TypedDict, total=False):
    """What to search like: exactly one of `image`, `item_id` and `signatures`; see `lapel.v1.Query`."""

    image: Image
    """A photo: a path, bytes of a file, a PIL image or an array."""
    item_id: str
    """An item of the catalogue."""
    signatures: Mapping[str, ArrayLike]
    """Signatures computed elsewhere, by head."""
    also_signatures: Mapping[str, ArrayLike]
    """Signatures of external heads, which a photo cannot give, beside the photo or item."""


class SearchOptions(QueryOptions, total=False):
    """A search; see `lapel.v1.SearchRequest` for what each means to the last detail."""

    k: int
    """Results wanted; 10 unless given."""
    manipulations: Mapping[str, str]
    """Edits: wanted labels by attribute, e.g. `{"sleeve_length": "short"}`."""
    weights: Mapping[str, float]
    """How much each head or attribute counts; those not named have their own weight."""
    only_named: bool
    """Heads that `weights` does not name take no part."""
    profile: str
    """A saved profile, in place of `weights`."""
    filter: v1.Filter
    """Which items may be returned; see `lapel.filters`."""
    exclude_ids: Sequence[str]
    """Items to leave out."""
    distance_max: float
    """The largest distance of a result."""
    explain: bool
    """Why each result ranks where it does."""
    exact: bool
    """Forces the exact scan."""
    plan: v1.PlanKind.ValueType
    """The plan to run where it can."""
    group_by: str | v1.Grouping
    """One result a product, or a few: the field, or a `lapel.v1.Grouping`."""
    diversity: float | v1.Diversity
    """Results that differ among themselves: the relevance from 0 to 1, or a `lapel.v1.Diversity`."""
    offset: int
    """Results, or groups, to pass over at the beginning."""
    facets: Sequence[str | v1.FacetRequest]
    """What to count among all items that pass: attributes by name, or `lapel.v1.FacetRequest`."""
    result_facets: Sequence[str | v1.FacetRequest]
    """What to count among the results."""
    show_fields: Sequence[str]
    """Fields to return with each result."""
    pictures: v1.PictureMode.ValueType
    """What of an item with several images is compared."""
    head_versions: Mapping[str, int]
    """Versions by head in place of those that serve, for this request alone."""


def query(**options: Unpack[QueryOptions]) -> v1.Query:
    """The message of a query."""
    sources = [name for name in ("image", "item_id", "signatures") if options.get(name) is not None]
    if len(sources) != 1:
        raise TypeError(f"exactly one of image, item_id and signatures is wanted, not {sources or 'none'}")
    found = v1.Query(also_signatures=signature_list(options.get("also_signatures") or {}))
    if (image := options.get("image")) is not None:
        found.image = encode(image)
    if (item_id := options.get("item_id")) is not None:
        found.item_id = item_id
    if (signatures := options.get("signatures")) is not None:
        found.signatures.CopyFrom(v1.SignatureSet(signatures=signature_list(signatures)))
    return found


def search_request(**options: Unpack[SearchOptions]) -> v1.SearchRequest:
    """The message of a search, for `search_batch`, `search_pages`, or the stubs.

    >>> lapel.search_request(image="dress.jpg", manipulations={"sleeve_length": "short"}, k=5)
    """
    # From here on by name: whose keys are whose is known at run time alone.
    rest: dict[str, Any] = {"k": 10, **options}
    like = {name: rest.pop(name) for name in QueryOptions.__annotations__ if name in rest}
    request = v1.SearchRequest(query=query(**like))
    weights, only_named = rest.pop("weights", None), rest.pop("only_named", False)
    if weights is not None and rest.get("profile"):
        raise TypeError("weights or a profile, not both")
    if weights is not None:
        request.weights.CopyFrom(v1.Weights(by_head=weights, only_named=only_named))
    elif only_named:
        raise TypeError("only_named is of weights, and there are none")
    request.manipulations.extend(manipulation_list(rest.pop("manipulations", None)))
    if group_by := rest.pop("group_by", None):
        request.group_by.CopyFrom(v1.Grouping(field=group_by) if isinstance(group_by, str) else group_by)
    if (diversity := rest.pop("diversity", None)) is not None:
        request.diversity.CopyFrom(
            diversity if isinstance(diversity, v1.Diversity) else v1.Diversity(relevance=diversity)
        )
    for name in ("facets", "result_facets"):
        getattr(request, name).extend(facet_list(rest.pop(name, ()), name))
    for name in ("exclude_ids", "show_fields"):
        getattr(request, name).extend(texts(name, rest.pop(name, ())))
    # What is left has the protocol's own names and types.
    request.MergeFrom(v1.SearchRequest(**rest))
    return request


def manipulation_list(labels: Mapping[str, str] | None) -> list[v1.Manipulation]:
    """Messages of edits."""
    if labels is None:
        return []
    if not isinstance(labels, Mapping):
        raise TypeError('manipulations are wanted labels by attribute, e.g. {"sleeve_length": "short"}')
    return [v1.Manipulation(attribute=attribute, label=label) for attribute, label in labels.items()]


def facet_list(facets: Sequence[str | v1.FacetRequest], name: str = "facets") -> list[v1.FacetRequest]:
    """Messages of what to count; a text is an attribute."""
    if isinstance(facets, str):
        raise TypeError(f"{name} takes several: [{facets!r}] for one")
    return [v1.FacetRequest(attribute=one) if isinstance(one, str) else one for one in facets]
