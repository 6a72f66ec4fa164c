"""The server's program: started on a folder and port 0, asked for its health, ended."""

import json
import os
import queue
import subprocess
import threading
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protocol import ROOT

PROGRAM = Path(os.environ.get("LAPEL_SERVER", ROOT / "target/release/lapel-server")).resolve()
#: Longer than a start or an end takes, on a slow machine too.
WAIT = 120


def command(*arguments):
    """How the program is called."""
    return [str(PROGRAM), *map(str, arguments)]


class Server:
    """A server in a process of its own."""

    def __init__(self, data, **settings):
        """Starts it on the folder `data`. Settings are configuration keys: `limits__k_max=5`."""
        environment = {f"LAPEL__{key.upper()}": str(value) for key, value in settings.items()}
        self.data = data
        self.log = []
        self._was_told = False
        self._address = queue.Queue()
        # In the root of the project, where the default configuration finds the models.
        self._process = subprocess.Popen(
            command("--listen", "127.0.0.1:0", "--data", data, "--log-json", "serve"),
            cwd=ROOT,
            env={**os.environ, "RUST_LOG": "info", **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        # Its log is where it tells the port that the system chose.
        self.address = self._address.get(timeout=WAIT)
        assert self.address, "\n".join(["the server did not start", *self.log])
        self._wait()

    def _read(self):
        for line in self._process.stderr:
            self.log.append(line.rstrip())
            fields = json.loads(line).get("fields", {}) if line.startswith("{") else {}
            if fields.get("message") == "serving":
                self._address.put(fields["address"])
        self._address.put(None)

    def _wait(self):
        with grpc.insecure_channel(self.address) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch
            changes = watch(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=WAIT)
            serving = health_pb2.HealthCheckResponse.SERVING
            assert any(change.status == serving for change in changes)
            changes.cancel()

    def terminate(self):
        """Tells it to end, once: told twice, it would end without finishing what runs."""
        if not self._was_told:
            self._process.terminate()
        self._was_told = True

    def stop(self):
        """Ends it as an operator does; it has to end well."""
        self.terminate()
        try:
            code = self._process.wait(timeout=WAIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        self._reader.join()
        assert code == 0, "\n".join([f"the server ended with {code}", *self.log[-20:]])
