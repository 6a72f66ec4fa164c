"""A real server for tests, and pytest fixtures of it: `pytest_plugins = ["lapel.testing"]`.

The program is LAPEL_SERVER_PROGRAM, else target/release/lapel-server of the project around the working directory, else
what PATH has. It is started on an empty catalogue and a port of its own.

    def test_my_shop(lapel_client):
        lapel_client.items.upsert([lapel.NewItem(id="coat-01", image="coat.jpg")])
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from lapel import Client

#: Longer than a start or an end takes, on a slow machine too.
_WAIT_SECONDS = 120
#: Where the default configuration finds the shipped models, from the project's folder on.
_MODELS = "heads/bundles"


def program() -> Path:
    """The server's program. FileNotFoundError: there is none."""
    if given := os.environ.get("LAPEL_SERVER_PROGRAM"):
        return Path(given).resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (built := folder / "target/release/lapel-server").is_file():
            return built
    if found := shutil.which("lapel-server"):
        return Path(found)
    raise FileNotFoundError("no lapel-server: cargo build --release, or set LAPEL_SERVER_PROGRAM")


def _project() -> Path:
    """The folder whose models the server takes: the nearest around the working directory or the program."""
    starts = (Path.cwd(), program().parent)
    around = [folder for start in starts for folder in (start, *start.parents)]
    return next((folder for folder in around if (folder / _MODELS).is_dir()), Path.cwd())


class Server:
    """A server in a process of its own, on this machine, and on a free port unless told. Use it as a context."""

    def __init__(
        self,
        data: Path,
        *,
        listen: str = "127.0.0.1:0",
        config: Path | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Starts it on the folder `data`; `settings` are keys of the configuration: `{"limits.k_max": 5}`."""
        variables = {f"LAPEL__{key.replace('.', '__').upper()}": str(value) for key, value in (settings or {}).items()}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LAPEL_")}
        command: list[str | Path] = [program(), "--listen", listen, "--data", data, "--log-json"]
        if config is not None:
            command += ["--config", config]
        #: Lines of JSON.
        self.log: list[str] = []
        self._address: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            [*command, "serve"],
            cwd=_project(),
            env={**inherited, "RUST_LOG": "info", **variables},
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        # The log tells the port, once it serves.
        told = self._address.get(timeout=_WAIT_SECONDS)
        if told is None:
            raise RuntimeError("\n".join(["the server did not start:", *self.log[-20:]]))
        #: `127.0.0.1:PORT`.
        self.target = told
        #: What a client takes.
        self.address = f"http://{told}"

    def _read(self) -> None:
        for line in self._process.stderr or ():
            self.log.append(line.rstrip())
            fields = json.loads(line).get("fields", {}) if line.startswith("{") else {}
            if fields.get("message") == "serving":
                self._address.put(fields["address"])
        self._address.put(None)

    def terminate(self) -> None:
        """Tells it to end as an operator does, without waiting."""
        self._process.terminate()

    def stop(self) -> None:
        """Ends it, and waits until it has."""
        if self._process.poll() is None:
            self.terminate()
            try:
                self._process.wait(timeout=_WAIT_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise
        self._reader.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@pytest.fixture(scope="session")
def lapel_server_settings() -> Mapping[str, object]:
    """Keys of the configuration of `lapel_server`; to be overridden."""
    return {}


@pytest.fixture(scope="session")
def lapel_server(
    tmp_path_factory: pytest.TempPathFactory, lapel_server_settings: Mapping[str, object]
) -> Iterator[Server]:
    """A server with an empty catalogue, which all tests of a run share."""
    with Server(tmp_path_factory.mktemp("lapel") / "data", settings=lapel_server_settings) as server:
        yield server


@pytest.fixture
def lapel_client(lapel_server: Server) -> Iterator[Client]:
    """A client of `lapel_server`."""
    with Client(lapel_server.address, token="") as client:
        yield client
