"""Errors as exceptions, tries, deadlines, cancellation: seen by a relay on the wire."""

import asyncio
import gc
import threading
import time

import grpc
import pytest
from relay import Fault
from shop import DRESS

import lapel
from lapel import errors


def test_every_status_has_an_exception_of_its_own():
    codes = {code for code in grpc.StatusCode if code is not grpc.StatusCode.OK}
    assert {kind.code for kind in errors.LapelError.__subclasses__()} == codes
    assert all(getattr(lapel, kind.__name__) is kind for kind in errors.LapelError.__subclasses__())


def test_all_bad_fields_are_told_at_once(client):
    with pytest.raises(lapel.InvalidArgumentError) as raised:
        client.search(item_id="nobody", k=0, manipulations={"colour": "red"})
    error = raised.value
    assert {bad.field for bad in error.violations} == {"k", "query.item_id", "manipulations[0].attribute"}
    assert error.reason == "INVALID_FIELD" and error.request_id and isinstance(error.__cause__, grpc.RpcError)
    assert all(bad.description in str(error) for bad in error.violations)


def test_facts_behind_a_reason_are_told(client):
    with pytest.raises(lapel.NotFoundError) as raised:
        client.items.count(lapel.filters.label("category", "dres"))
    assert raised.value.metadata["name"] == "dres" and "dress" in str(raised.value)


def test_reads_are_tried_again(relay, relayed, wardrobe):
    relay.faults = [Fault("Search", times=3)]
    assert relayed.search(item_id=wardrobe[0].id).results
    assert len(relay.calls("Search")) == 4


def test_a_repeated_mutation_has_the_same_request_id(relay, relayed):
    relayed.profiles.save("again", {"color": 1})
    relay.faults = [Fault("SaveProfile", lose_answer=True), Fault("DeleteProfile", lose_answer=True)]
    # Its first try was done, and the answer was lost: the second one gets the same.
    assert relayed.profiles.save("again", {"fit": 1}).version == 2
    relayed.profiles.delete("again")
    for method in ("SaveProfile", "DeleteProfile"):
        first, second = [call.requests for call in relay.calls(method)[-2:]]
        assert first == second


def test_only_what_passes_is_tried_again(relay, relayed):
    relay.faults = [Fault("GetItem", code=grpc.StatusCode.INTERNAL)]
    with pytest.raises(lapel.InternalError):
        relayed.items.get("any")
    assert len(relay.calls("GetItem")) == 1
    with pytest.raises(lapel.NotFoundError):
        relayed.items.get("any")


def test_tries_come_to_an_end(relay, connect):
    client = connect(relay.address, retry=lapel.Retry(tries=3, pause=0.01))
    relay.faults = [Fault("GetItem", times=9)]
    with pytest.raises(lapel.UnavailableError):
        client.items.get("any")
    assert len(relay.calls("GetItem")) == 3


def test_retry_info_is_honoured(relay, relayed, wardrobe):
    relay.faults = [Fault("GetItem", code=grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=0.4)]
    began = time.monotonic()
    assert relayed.items.get(wardrobe[0].id)
    assert time.monotonic() - began >= 0.4
    # It would come too late, so that nobody waits for it.
    relay.faults = [Fault("GetItem", retry_after=60)]
    with pytest.raises(lapel.UnavailableError) as raised:
        relayed.items.get(wardrobe[0].id, timeout=5)
    assert raised.value.retry_after == 60


def test_an_upload_goes_on_behind_what_was_acknowledged(relay, relayed, wardrobe):
    relay.faults = [Fault("UpsertItemsStream"), Fault("UpsertItemsStream", after=1)]
    ids = [f"cut-{number}" for number in range(40)]
    dim = relayed.heads.get("color").dim
    signatures = {"color": [1.0] * dim}

    class Slow(lapel.NewItem):
        def message(self):
            # What came before is acknowledged meanwhile.
            time.sleep(0.5 if self.id in ("cut-10", "cut-30") else 0)
            return super().message()

    report = relayed.items.upsert([Slow(id=item_id, signatures=signatures) for item_id in ids], parallel=1)
    assert sorted(one.id for one in report.results) == sorted(ids) and report.stored == len(ids)
    sent = [len(call.requests) for call in relay.calls("UpsertItemsStream")]
    assert len(sent) == 3 and sent[2] < len(ids)
    relayed.items.delete(ids)


def test_an_upload_that_is_given_up_says_what_was_stored(relay, relayed):
    relay.faults = [Fault("UpsertItemsStream", times=99)]
    with pytest.raises(lapel.UnavailableError) as raised:
        relayed.items.upsert([lapel.NewItem(id="x", image=DRESS)])
    assert raised.value.report.results == []


def test_an_upload_ends_where_its_caller_does(client, wardrobe):
    def stop(progress):
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        client.items.upsert(wardrobe, on_progress=stop)


def test_an_export_goes_on_behind_the_last_whole_item(relay, relayed, wardrobe):
    relay.faults = [Fault("ExportItems", after=7), Fault("ExportItems"), Fault("ExportItems", after=5)]
    exported = list(relayed.items.export())
    assert [one.item.id for one in exported] == sorted(item.id for item in wardrobe)
    assert len(relay.calls("ExportItems")) == 4


@pytest.mark.parametrize("method", ["StreamItemImage", "DownloadHead", "WatchHead", "RegisterHead"])
def test_streams_are_tried_again(relay, relayed, wardrobe, method):
    bundle = relayed.heads.download("color")
    calls = {
        "StreamItemImage": lambda: relayed.items.image(wardrobe[0].id).data == wardrobe[0].image.read_bytes(),
        "DownloadHead": lambda: relayed.heads.download("color") == bundle,
        "WatchHead": lambda: relayed.heads.wait("color").name == "color",
        "RegisterHead": lambda: relayed.heads.register(bundle).name == "color",
    }
    relay.faults = [Fault(method), Fault(method, after=1)]
    assert calls[method]()


def test_deadlines_hold(connect, shop):
    client = connect(shop.address, timeout=0.002, retry=lapel.Retry(tries=1))
    with pytest.raises(lapel.DeadlineExceededError):
        client.describe(DRESS)


def test_nobody_there(connect):
    client = connect("http://127.0.0.1:1", retry=lapel.Retry(tries=2, pause=0.01))
    with pytest.raises(lapel.UnavailableError):
        client.items.get("any", timeout=10)


def test_a_server_that_comes_back_is_found(connect, tmp_path):
    from lapel.testing import Server

    with Server(tmp_path / "data") as first:
        client = connect(first.address, retry=lapel.Retry(tries=60, pause=0.2, pause_max=0.5))
        assert client.heads.backbone()
        port = first.target
    with Server(tmp_path / "data", listen=port):
        assert client.heads.backbone(timeout=60)


def ended(relay, method):
    """Whether the last call of a method has ended on the server's side."""
    until = time.monotonic() + 10
    while time.monotonic() < until and not relay.calls(method)[-1].has_ended:
        time.sleep(0.01)
    return relay.calls(method)[-1].has_ended


def test_a_stream_that_nobody_reads_on_is_given_up(relay, relayed):
    answers = relayed.items.export()
    next(answers)
    answers.close()
    del answers
    gc.collect()
    assert ended(relay, "ExportItems")


def test_a_cancelled_task_gives_its_call_up(relay):
    async def run():
        async with lapel.AsyncClient(relay.address, token="") as client:
            task = asyncio.create_task(client.items.upsert([lapel.ItemUpdate(id="never")]))
            while not relay.calls("UpsertItemsStream"):
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    relay.pass_on.clear()
    asyncio.run(run())
    relay.pass_on.set()
    assert ended(relay, "UpsertItemsStream")


def test_close_gives_calls_up(relay):
    client = lapel.Client(relay.address, token="", retry=lapel.Retry(tries=1))
    relay.pass_on.clear()
    failed = []

    def call():
        try:
            client.items.get("any")
        except lapel.CancelledError as error:
            failed.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    while not relay.calls("GetItem"):
        time.sleep(0.01)
    client.close()
    thread.join(10)
    relay.pass_on.set()
    assert failed


def test_one_text_is_not_taken_letter_by_letter(client):
    for call in [
        lambda: client.items.delete("ab"),
        lambda: client.search(item_id="a", facets="color"),
        lambda: client.search(item_id="a", exclude_ids="ab"),
        lambda: client.personalise("ab"),
        lambda: client.heads.teach("odd", items={"a": "ab"}),
        lambda: client.search(item_id="a", manipulations=[("color", "red")]),
    ]:
        with pytest.raises(TypeError, match=r"several|by attribute"):
            call()


def test_a_timeout_without_an_end_has_none(client):
    assert client.items.count(timeout=float("inf")).items_total
    with pytest.raises(ValueError, match="no number"):
        client.items.count(timeout=float("nan"))
