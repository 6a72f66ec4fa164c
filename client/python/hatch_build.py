"""Makes what the package has beside its sources: the stubs from proto/, and the twin without asyncio."""

import os
import re
import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).resolve().parent
PACKAGE = HERE / "src/lapel"
PROTO = HERE.parents[1] / "proto"
#: What tells the asyncio client from its twin, all of it; see src/lapel/_async/__init__.py.
SYNC = [
    (r"Awaitable\[(\w+)\]", r"\1"),
    (r"Async(\w+)", r"\1"),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"__a(enter|exit)__", r"__\1__"),
    (r"lapel\._async\b", "lapel._sync"),
    (r"_asyncio_platform", "_sync_platform"),
]


class MakeSources(BuildHookInterface[Any]):
    """Runs before every build, of an editable installation too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """A source distribution has the files already, and no proto/ beside it."""
        if PROTO.is_dir():
            make_stubs()
            make_sync()
        # The same files for every Python and machine.
        build_data["pure_python"] = True


def make_stubs() -> None:
    """Makes lapel/v1: messages and stubs with types, in which the comments of the protocol are docstrings."""
    from grpc_tools import protoc

    folder = PACKAGE / "v1"
    folder.mkdir(exist_ok=True)
    protos = sorted(path.relative_to(PROTO) for path in PROTO.glob("lapel/v1/*.proto"))
    # Beside the interpreter, and on the path alone where the build has an environment of its own.
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    plugins = {kind: shutil.which(f"protoc-gen-{kind}", path=beside) for kind in ("mypy", "mypy_grpc")}
    out = PACKAGE.parent
    arguments = [
        f"-I{PROTO}",
        f"-I{files('grpc_tools') / '_proto'}",
        *(f"--plugin=protoc-gen-{kind}={plugin}" for kind, plugin in plugins.items()),
        *(f"--{kind}_out={out}" for kind in ("python", "grpc_python")),
        *(f"--{kind}_out=quiet:{out}" for kind in ("mypy", "mypy_grpc")),
    ]
    if protoc.main(["protoc", *arguments, *map(str, protos)]) != 0:
        raise RuntimeError("protoc refuses the files in proto/")
    names = [path.stem for path in protos]
    messages = [f"from .{name}_pb2 import *\n" for name in names]
    stubs = [f"from .{name}_pb2_grpc import *\n" for name in names if name.endswith("_service")]
    told = '"""The protocol lapel.v1: all messages, enums and stubs; made from proto/."""\n\n'
    (folder / "__init__.py").write_text(told + "".join(messages + stubs))


def make_sync() -> None:
    """Makes lapel/_sync from lapel/_async."""
    folder = PACKAGE / "_sync"
    folder.mkdir(exist_ok=True)
    for source in sorted((PACKAGE / "_async").glob("*.py")):
        text = source.read_text()
        for pattern, replacement in SYNC:
            text = re.sub(pattern, replacement, text)
        (folder / source.name).write_text(f"# Made from _async/{source.name} by hatch_build.py.\n{text}")
