"""Does what a document says, as its reader would: on the demo's catalogue, in a folder of the reader's own."""

import doctest
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import trustme
from documents import commands, looks_like
from shop import DRESS, ROOT

import lapel.testing

#: Addresses as documents write them.
ADDRESS, PROBES, GUARDED = "127.0.0.1:7700", "127.0.0.1:7701", "https://search.shop.internal:7700"
#: Longer than any command takes, on a slow machine too.
_WAIT_SECONDS = 180
_HERE = Path(__file__).parent


class Walk:
    """A reader's way through a document."""

    def __init__(self, folder, server):
        """In an empty folder, with a server of the demo's catalogue, which the documents call 127.0.0.1:7700."""
        self._folder = folder
        self._places = {ADDRESS: server.target}
        self._guarded = None
        self._namespace = {"__name__": "__main__"}
        self._environment = {**_programs(folder.parent / "bin"), "LAPEL_SERVER": server.address}
        _furnish(folder)

    def follow(self, document, block):
        """Does what one block says; AssertionError: it does not do it, or is not of a kind that can be done."""
        place = f"{document.relative_to(ROOT)}:{block.line}"
        if block.mark("not run"):
            return
        if path := block.mark("as"):
            assert block.text == (ROOT / path).read_text(), f"{place}: {path} has other lines"
            return
        name = block.mark("file")
        if name:
            file = self._folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
        kinds = {
            "console": self._console,
            "sh": self._run,
            "python": self._python,
            "pycon": self._dialogue,
            "toml": self._serve,
        }
        if does := kinds.get(block.language):
            does(block, place)
        else:
            assert name or block.language == "text", f"{place}: a block of {block.language!r} needs a comment"

    def end(self):
        """Ends what it has started."""
        if self._guarded:
            self._guarded.stop()

    def _console(self, block, place):
        unused = set(block.passed_over)
        for command, shown in commands(block.text):
            if begins := [start for start in block.passed_over if command.startswith(start)]:
                unused.difference_update(begins)
                continue
            printed = self._command(command, place)
            assert looks_like(shown, printed), f"{place}: $ {command}\nprints\n{printed}"
        assert not unused, f"{place}: no command begins with {unused}"

    def _run(self, block, place):
        self._command(block.text, place)

    def _command(self, command, place):
        """Runs a command with somebody at the terminal who says yes."""
        ours, terminal = pty.openpty()
        try:
            os.write(ours, b"y\n")
            ended = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", self._here(command)],
                cwd=self._folder,
                env={**os.environ, **self._environment},
                stdin=terminal,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_WAIT_SECONDS,
            )
        finally:
            os.close(terminal)
            os.close(ours)
        assert ended.returncode == 0, f"{place}: $ {command}\n{ended.stdout}"
        # The reader keeps a secret that is shown once.
        if secret := re.search(r"LAPEL_TOKEN=(\S+)", ended.stdout):
            self._environment["LAPEL_TOKEN"] = secret[1]
        return ended.stdout

    def _python(self, block, place):
        exec(compile(self._here(block.text), place, "exec"), self._namespace)

    def _dialogue(self, block, place):
        asked = doctest.DocTestParser().get_doctest(self._here(block.text), self._namespace, place, place, block.line)
        failed, _ = doctest.DocTestRunner(verbose=False).run(asked)
        assert not failed, place

    def _serve(self, block, place):
        """Starts a server on a configuration, on ports of its own, until the next one or the end."""
        self.end()
        settings = {"operation.probes": "127.0.0.1:0"}
        configuration = self._folder / (block.mark("file") or "lapel.toml")
        configuration.write_text(block.text)
        self._guarded = lapel.testing.Server(
            self._folder / f"data-{block.line}", config=configuration, settings=settings
        )
        self._places[GUARDED] = f"https://localhost:{self._guarded.target.rpartition(':')[2]}"
        probes = re.search(r'"message":"probes and metrics","address":"([^"]+)"', "\n".join(self._guarded.log))
        assert probes, self._guarded.log
        self._places[PROBES] = probes[1]

    def _here(self, text):
        """A text with the addresses that there are."""
        for shown, real in self._places.items():
            text = text.replace(shown, real)
        return text


def _programs(folder):
    """Where commands are found: the built ones, a grpcurl, an editor that answers every empty cell of a table."""
    folder.mkdir(exist_ok=True)
    built = lapel.testing.program().parent
    for name in ("lapel", "lapel-server", "lapel-train"):
        assert (built / name).is_file(), f"{built / name} is missing: cargo build --release --bins"
        if not (folder / name).exists():
            (folder / name).symlink_to(built / name)
    return {
        # The stand-in of grpcurl takes the Python of the test.
        "PATH": f"{folder}:{_HERE / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "EDITOR": "sed -i s/,$/,top/",
        "LAPEL_TOKEN": "",
    }


def _furnish(folder):
    """Lays out what the documents say that a reader has: the checkout, photos, certificates."""
    for name in ("client", "examples", "heads"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("photo.jpg", "dress.jpg", "shop/1042-red.jpg", "shop/1042-blue.jpg", "photos/new-01.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(DRESS.read_bytes())
    (folder / "FOLDER").symlink_to("photos")
    (folder / "stock.csv").write_text("id,field:price:number\ndress-01,19.9\n")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    server = authority.issue_cert("localhost", "search.shop.internal")
    server.private_key_pem.write_to_path(folder / "server.key")
    server.cert_chain_pems[0].write_to_path(folder / "server.pem")
