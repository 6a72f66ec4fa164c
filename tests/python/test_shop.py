"""What a shop asks besides likeness: fields, filters, counts, groups and pages."""

import datetime

import grpc
import photos
import pytest
from google.protobuf import field_mask_pb2, timestamp_pb2
from google.rpc import error_details_pb2
from program import Server
from protocol import Client, like, v1
from refusals import details, refused


def _value(value):
    """A value of a field, by its type in Python."""
    if isinstance(value, bool):
        return v1.FieldValue(boolean=value)
    if isinstance(value, int):
        return v1.FieldValue(integer=value)
    if isinstance(value, float):
        return v1.FieldValue(number=value)
    if isinstance(value, datetime.datetime):
        moment = timestamp_pb2.Timestamp()
        moment.FromDatetime(value)
        return v1.FieldValue(timestamp=moment)
    if isinstance(value, list):
        return v1.FieldValue(keywords=v1.KeywordList(keywords=value))
    return v1.FieldValue(keyword=value)


def _fields(**values):
    return {name: _value(value) for name, value in values.items()}


def _equals(field, value):
    return v1.Filter(field=v1.FieldFilter(field=field, equals=_value(value)))


def _below(field, value):
    return v1.Filter(field=v1.FieldFilter(field=field, range=v1.FieldRange(below=_value(value))))


def _all(*filters):
    return v1.Filter(all=v1.FilterList(filters=filters))


PRODUCTS = 4
ADDED = datetime.datetime(2026, 11, 29, 12, 30, 15, 250_000)


def _shop(number):
    """The fields of an item of a shop."""
    return {
        "product": f"p{number % PRODUCTS}",
        "price": 10.0 + number,
        "in_stock": number % 3 > 0,
        "stock": number * 10,
        "sizes": ["S", "M"] if number % 2 else ["M", "L"],
        "added": ADDED + datetime.timedelta(days=number),
    }


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A server of its own with twelve items that have fields."""
    server = Server(tmp_path_factory.mktemp("shop") / "data")
    filling = Client.of(server.address)
    filling.store(
        *(v1.UpsertItemsRequest(id=f"s{n:02}", image=photos.DRESS, fields=_fields(**_shop(n))) for n in range(12))
    )
    filling.close()
    yield server
    server.stop()


@pytest.fixture
def shop(connect, filled):
    """A client of it."""
    return connect(filled)


def test_fields_come_back_as_they_were_sent(shop):
    item = shop.catalog.GetItem(v1.GetItemRequest(id="s05")).item
    assert dict(item.fields) == _fields(**{**_shop(5), "sizes": sorted(_shop(5)["sizes"])})
    assert item.fields["added"].timestamp.ToDatetime() == ADDED + datetime.timedelta(days=5)
    kinds = {one.field: (v1.FieldKind.Name(one.kind), one.items) for one in shop.catalog.CatalogStats(v1.CatalogStatsRequest()).fields}
    assert kinds["price"] == ("FIELD_KIND_NUMBER", 12) and kinds["sizes"] == ("FIELD_KIND_KEYWORDS", 12)


def test_items_are_counted_with_facets(shop):
    request = v1.CountItemsRequest(
        filter=_all(_equals("in_stock", True), _below("price", 18.0)),
        facets=[
            v1.FacetRequest(field="product"),
            v1.FacetRequest(field="price", bounds=[_value(12.0), _value(15.0)]),
        ],
    )
    answer = shop.catalog.CountItems(request)
    passing = [n for n in range(12) if n % 3 > 0 and 10 + n < 18]
    assert (answer.items, answer.items_total) == (len(passing), 12)
    products, prices = answer.facets
    assert {one.value: one.items for one in products.counts} == {
        f"p{product}": sum(n % PRODUCTS == product for n in passing) for product in {n % PRODUCTS for n in passing}
    }
    assert list(prices.bucket_counts) == [
        sum(10 + n < 12 for n in passing),
        sum(12 <= 10 + n < 15 for n in passing),
        sum(10 + n >= 15 for n in passing),
    ]


def test_one_result_a_product(shop):
    request = like("s00", k=10, group_by=v1.Grouping(field="product"), show_fields=["price"])
    groups = shop.search.Search(request).groups
    assert {group.value.keyword for group in groups} == {f"p{product}" for product in range(PRODUCTS)}
    assert all(len(group.results) == 1 and set(group.results[0].fields) == {"price"} for group in groups)


def test_pages_hold_every_item_once(shop):
    seen, token, calls = [], b"", 0
    while calls == 0 or token:
        answer = shop.search.Search(like("s00", k=5, paged=True, page_token=token))
        seen += [result.item_id for result in answer.results]
        token, calls = answer.next_page_token, calls + 1
    assert calls == 3 and sorted(seen) == [f"s{number:02}" for number in range(12)]


def test_a_price_is_updated_without_the_picture(shop):
    mask = field_mask_pb2.FieldMask(paths=["fields.price"])
    update = v1.UpsertItemsRequest(id="s03", fields=_fields(price=99.5), update_mask=mask)
    assert shop.catalog.UpsertItems(iter([update])).results[0].replaced
    item = shop.catalog.GetItem(v1.GetItemRequest(id="s03")).item
    assert item.fields["price"].number == 99.5 and item.fields["stock"].integer == 30 and item.has_image


def test_a_value_of_another_kind_is_refused_in_its_place(shop):
    items = [
        v1.UpsertItemsRequest(id="s04", fields=_fields(price="cheap"), update_mask=field_mask_pb2.FieldMask(paths=["fields.price"])),
        v1.UpsertItemsRequest(id="s06", fields=_fields(price=16.0), update_mask=field_mask_pb2.FieldMask(paths=["fields.price"])),
    ]
    first, second = shop.catalog.UpsertItems(iter(items)).results
    assert first.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0] and "price is a number" in first.error.message
    assert not second.HasField("error")


def test_a_bad_node_is_told_by_its_path(shop):
    tree = _all(_equals("in_stock", True), v1.Filter(any=v1.FilterList(filters=[_equals("price", "cheap")])))
    call = lambda: shop.catalog.CountItems(v1.CountItemsRequest(filter=tree))
    error = refused(call, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    fields = [one.field for one in details(error, error_details_pb2.BadRequest).field_violations]
    assert fields == ["filter.all[1].any[0].field.equals"]


def test_items_are_deleted_by_filter_once_they_were_counted(shop):
    expensive = v1.Filter(field=v1.FieldFilter(field="price", range=v1.FieldRange(**{"from": _value(20.5)})))
    dry = shop.catalog.DeleteItemsByFilter(v1.DeleteItemsByFilterRequest(filter=expensive, dry_run=True))
    assert dry.items == len(dry.first_ids) > 0
    other = v1.DeleteItemsByFilterRequest(filter=expensive, expected_items=dry.items + 1)
    refused(lambda: shop.catalog.DeleteItemsByFilter(other), grpc.StatusCode.FAILED_PRECONDITION, "COUNT_DIFFERS")
    real = v1.DeleteItemsByFilterRequest(filter=expensive, expected_items=dry.items)
    assert shop.catalog.DeleteItemsByFilter(real).items == dry.items
    assert shop.catalog.CountItems(v1.CountItemsRequest(filter=expensive)).items == 0
