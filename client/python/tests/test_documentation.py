"""What README.md and docs/ show runs, and their links lead somewhere."""

import re
import shutil
import subprocess

import pytest
from documents import blocks
from shop import ROOT
from walk import Walk

import lapel.testing
from lapel.testing import Server

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

#: By document: blocks, and kinds of commands in others, that are not run. Each says why, where it stands.
NOT_RUN = {}


def _name(document):
    return str(document.relative_to(ROOT))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The folder of the demo's catalogue, as the demo leaves it."""
    data = tmp_path_factory.mktemp("demo") / "data"
    command = [lapel.testing.program(), "--listen", "127.0.0.1:0", "--data", data, "demo"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert any("stops the server" in line for line in server.stdout), "the demo ended before it served"
        # What it has stored is on the disk, however it ends.
        server.terminate()
    return data


@pytest.fixture
def walk(demo, tmp_path, monkeypatch, lapel_server_settings):
    """A reader with the demo running."""
    here = tmp_path / "here"
    here.mkdir()
    data = shutil.copytree(demo, tmp_path / "data")
    monkeypatch.chdir(ROOT)
    with Server(data, settings=lapel_server_settings) as server:
        monkeypatch.setenv("LAPEL_SERVER", server.address)
        monkeypatch.setenv("LAPEL_TOKEN", "")
        walk = Walk(here, server)
        monkeypatch.chdir(here)
        yield walk
        monkeypatch.chdir(ROOT)
        walk.end()


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_what_is_shown_runs(document, request):
    shown = blocks(document)
    runs = [block for block in shown if block.language != "text" and not block.mark("not run")]
    if not runs:
        return
    walk = request.getfixturevalue("walk")
    for block in shown:
        walk.follow(document, block)


def test_what_is_not_run_is_counted():
    """Nothing is left out in silence: who adds a comment changes the number."""
    counted = {
        _name(document): sum(mark.kind == "not run" for block in blocks(document) for mark in block.marks)
        for document in DOCUMENTS
    }
    assert {name: number for name, number in counted.items() if number} == NOT_RUN


LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$|<a id=\"(.+?)\">", re.MULTILINE)


@pytest.mark.parametrize("document", [*DOCUMENTS, *sorted((ROOT / "docs/api").glob("*.md"))], ids=_name)
def test_links_lead_somewhere(document):
    for target in LINK.findall(document.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"{target} is not there"
        assert not anchor or anchor in _anchors(file), f"{path or document} has no {anchor}"


def _anchors(document):
    """The anchors that a code host gives to headings, and those that the text has itself."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    for heading, own in HEADING.findall(text):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        yield own or re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
