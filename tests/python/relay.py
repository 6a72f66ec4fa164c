"""A relay before the server that counts bytes: whether messages were compressed is seen on the wire alone."""

import socket
import threading


class Relay:
    """Passes one connection on, both ways."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.up = self.down = 0
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:{}".format(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        server = socket.create_connection(self._server)
        for way in ("up", "down"):
            ends = (client, server) if way == "up" else (server, client)
            threading.Thread(target=self._pass, args=(way, *ends), daemon=True).start()

    def _pass(self, way, source, target):
        try:
            while data := source.recv(1 << 16):
                setattr(self, way, getattr(self, way) + len(data))
                target.sendall(data)
        except OSError:
            pass
        finally:
            # The other way ends with this one.
            for end in (source, target):
                _shut(end)

    def close(self):
        """Accepts nothing more."""
        self._listener.close()


def _shut(end):
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
