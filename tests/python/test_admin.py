"""AdminService: a backup taken while the server serves, what is restored from it, and what the server does."""

import subprocess

import bundles
import grpc
import pytest
from program import WAIT, command
from protocol import ROOT, v1


@pytest.fixture
def backup(client, tmp_path):
    """The file of a backup of the shared server, which has a profile then."""
    client.feedback.SaveProfile(v1.SaveProfileRequest(name="kept", weights={"color": 2.0}))
    pieces = client.admin.Backup(v1.BackupRequest())
    file = tmp_path / "catalogue.backup"
    file.write_bytes(b"".join(piece.chunk for piece in pieces))
    yield file
    client.feedback.DeleteProfile(v1.DeleteProfileRequest(name="kept"))


def restore(file, data):
    """Runs the server's verb; gives its exit code and what it said."""
    ended = subprocess.run(
        command("--data", data, "restore", file), cwd=ROOT, capture_output=True, text=True, timeout=WAIT
    )
    return ended.returncode, ended.stderr


def test_a_backup_is_restored_with_everything(client, backup, tmp_path, start, connect):
    data = tmp_path / "restored"
    code, said = restore(backup, data)
    assert code == 0, said
    restored = connect(start(data))
    assert restored.exported() == client.exported()
    read = v1.GetProfileRequest(name="kept")
    assert restored.feedback.GetProfile(read) == client.feedback.GetProfile(read)
    # It goes on from there.
    bundles.register(restored, bundles.external("mood", 2, ["calm"]))


def test_a_backup_that_was_cut_off_is_refused(backup, tmp_path):
    cut = tmp_path / "cut.backup"
    cut.write_bytes(backup.read_bytes()[:-1000])
    data = tmp_path / "restored"
    code, said = restore(cut, data)
    assert code == 1 and "ends too early" in said, said
    # What was not restored does not stand in the way of the next try.
    assert restore(backup, data)[0] == 0


def test_the_server_says_what_it_does(client):
    client.catalog.CatalogStats(v1.CatalogStatsRequest())
    with pytest.raises(grpc.RpcError):
        client.catalog.GetItem(v1.GetItemRequest(id="nothing"))
    stats = client.admin.ServerStats(v1.ServerStatsRequest())
    assert stats.healthy and stats.version and stats.resident_bytes > 1 << 20 and stats.in_flight >= 1
    assert 0 < stats.window_seconds <= 70 and stats.started.seconds > 1_700_000_000
    methods = {method.method: method for method in stats.methods}
    counted = methods["lapel.v1.CatalogService/CatalogStats"]
    assert counted.calls >= 1 and 0 < counted.p50_ms <= counted.p99_ms
    assert methods["lapel.v1.CatalogService/GetItem"].failures["NOT_FOUND"] >= 1
    calls = [method.calls for method in stats.methods]
    assert calls == sorted(calls, reverse=True)
