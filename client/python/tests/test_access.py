"""Tokens, TLS, mutual TLS, traces: who calls, and what a call belongs to."""

import subprocess

import grpc
import pytest
import trustme
from shop import DRESS

import lapel
from lapel.testing import Server, program


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server with mutual TLS and a token that may only search."""
    folder = tmp_path_factory.mktemp("guarded")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    server, client = authority.issue_cert("localhost", "127.0.0.1"), authority.issue_cert("shop")
    for name, one in (("server", server), ("client", client)):
        one.private_key_pem.write_to_path(folder / f"{name}.key")
        one.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
    made = subprocess.run([program(), "token", "shop", "--role", "search"], capture_output=True, text=True, check=True)
    (folder / "tokens.toml").write_text(made.stdout)
    settings = {
        "tls.certificate": folder / "server.pem",
        "tls.key": folder / "server.key",
        "tls.client_ca": folder / "ca.pem",
        "access.tokens": folder / "tokens.toml",
    }
    with Server(folder / "data", settings=settings) as server:
        secret = made.stderr.split("LAPEL_TOKEN=")[1].split()[0]
        yield server.address.replace("http://127.0.0.1", "https://localhost"), folder, secret


def test_mutual_tls_and_tokens(guarded, connect):
    address, folder, secret = guarded
    access = {"ca": folder / "ca.pem", "certificate": folder / "client.pem", "key": folder / "client.key"}
    client = connect(address, token=secret, **access)
    assert client.describe(DRESS).attributes
    with pytest.raises(lapel.PermissionDeniedError):
        client.profiles.save("mine", {"color": 1})
    with pytest.raises(lapel.UnauthenticatedError):
        connect(address, token="wrong", **access).items.stats()
    with pytest.raises(lapel.UnavailableError):
        connect(address, token=secret, ca=folder / "ca.pem", retry=lapel.Retry(tries=1)).items.stats()


def test_pem_may_be_content(guarded, connect, monkeypatch):
    address, folder, secret = guarded
    ca, certificate, key = ((folder / name).read_bytes() for name in ("ca.pem", "client.pem", "client.key"))
    assert connect(address, token=secret, ca=ca, certificate=certificate, key=key).heads.backbone()
    # What the command reads, too.
    for name, value in {"SERVER": address, "TOKEN": secret, "CA": str(folder / "ca.pem")}.items():
        monkeypatch.setenv(f"LAPEL_{name}", value)
    assert connect(None, token=None, certificate=certificate, key=key).heads.backbone()


def test_the_token_is_not_shown():
    from lapel.connection import connection

    rest = {"ca": None, "certificate": None, "key": None, "timeout": 1, "stream_timeout": 1, "retry": None}
    assert "secret" not in repr(connection("http://[::1]:7700", token="secret", options=(), **rest))


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "127.0.0.1:7700"},
        {"address": "http://host/path"},
        {"address": "http://host", "ca": b"pem"},
        {"address": "https://host", "key": b"pem"},
    ],
)
def test_what_does_not_fit_together_is_refused(wrong):
    with pytest.raises(ValueError, match=r"wanted|are of https"):
        lapel.Client(**wrong)


def test_traces_and_tokens_go_with_every_call(relay, connect, wardrobe):
    client = connect(relay.address, token="anybody")
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with lapel.traceparent(trace):
        client.items.get(wardrobe[0].id)
        next(client.items.export(images=False))
        client.items.upsert([lapel.ItemUpdate(id="nobody")])
        client.heads.register(client.heads.download("color"))
    client.items.count()
    of = {seen.method: seen.metadata for seen in relay.seen}
    assert of["CountItems"].get("traceparent") is None
    for method in ("GetItem", "ExportItems", "UpsertItemsStream", "RegisterHead"):
        assert of[method]["traceparent"] == trace and of[method]["authorization"] == "Bearer anybody", method


def test_the_span_of_opentelemetry_is_passed_on(relay, connect, wardrobe):
    trace = pytest.importorskip("opentelemetry.trace")
    context = trace.SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, False, trace.TraceFlags(1))
    client = connect(relay.address)
    with trace.use_span(trace.NonRecordingSpan(context)):
        client.items.get(wardrobe[0].id)
    assert relay.seen[-1].metadata["traceparent"] == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_stubs_carry_the_token_too(relay):
    with lapel.Client(relay.address, token="anybody") as client:
        client.stubs.heads.ListHeads(lapel.v1.ListHeadsRequest())
    assert relay.seen[-1].metadata["authorization"] == "Bearer anybody"
    assert isinstance(client.stubs.heads.ListHeads, grpc.UnaryUnaryMultiCallable)
