"""The API reference, docs/api: a page for each file in proto/, made of its comments. Run by itself it writes the pages."""

import re
import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"
PAGES = ROOT / "docs/api"

# Numbers of the fields in a descriptor, of which the paths of comments are made.
MESSAGE, ENUM, SERVICE = 4, 5, 6
METHOD = FIELD = VALUE = 2
ONEOF = 8

_Field = descriptor_pb2.FieldDescriptorProto


def pages():
    """The pages' texts by their names, the index among them."""
    files = _files()
    places = {
        f".{file.package}.{one.name}": f"{_page(file)}#{one.name.lower()}"
        for file in files
        for one in [*file.message_type, *file.enum_type]
    }
    texts = {_page(file): _File(file, places).text() for file in files}
    assert "README.md" not in texts
    return {**texts, "README.md": _index(files)}


def write():
    """Writes the pages, and removes those whose file is gone."""
    PAGES.mkdir(parents=True, exist_ok=True)
    texts = pages()
    for old in PAGES.glob("*.md"):
        if old.name not in texts:
            old.unlink()
    for name, text in texts.items():
        (PAGES / name).write_text(text)


def _files():
    """The descriptors of all files in proto/, with their comments."""
    sources = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("lapel/**/*.proto"))
    known = Path(protoc.__file__).parent / "_proto"
    with tempfile.NamedTemporaryFile(suffix=".binpb") as out:
        arguments = [f"-I{PROTO}", f"-I{known}", "--include_source_info", f"--descriptor_set_out={out.name}"]
        if protoc.main(["protoc", *arguments, *sources]) != 0:
            raise RuntimeError("protoc refuses the files in proto/")
        found = descriptor_pb2.FileDescriptorSet.FromString(Path(out.name).read_bytes()).file
    return sorted(found, key=lambda file: file.name)


def _page(file):
    return f"{Path(file.name).stem}.md"


def _made_of(source):
    return f"<!-- Made from {source} by `just api-pages`; do not edit. -->\n\n"


def _paragraph(comment):
    """A comment on one line, for Markdown: what would be markup outside of backticks is not."""
    words = " ".join(comment.split())
    parts = words.split("`")
    parts[::2] = [re.sub(r"([*<\[\]])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def _text(comment):
    """A comment in paragraphs; lines that begin with a status begin one."""
    return "\n\n".join(_paragraph(part) for part in re.split(r"\n(?= ?[A-Z]+(?:_[A-Z]+)+[:(. ])", comment))


def _cell(comment):
    return _paragraph(comment).replace("|", "\\|")


def _first_sentence(comment):
    # "Eq. 5" ends none.
    return re.split(r"(?<=\.)(?<!Eq\.)\s", _cell(comment), maxsplit=1)[0]


class _File:
    """One file and where the types of all are."""

    def __init__(self, file, places):
        self._file = file
        self._places = places
        self._comments = {tuple(one.path): one.leading_comments for one in file.source_code_info.location}

    def text(self):
        """The page."""
        parts = [_made_of(f"proto/{self._file.name}") + f"# {self._title()}"]
        for at, service in enumerate(self._file.service):
            parts += self._service(service, (SERVICE, at))
        if self._file.service and (self._file.message_type or self._file.enum_type):
            parts.append("## Messages")
        for at, message in enumerate(self._file.message_type):
            parts += self._message(message, (MESSAGE, at))
        for at, enum in enumerate(self._file.enum_type):
            parts += self._enum(enum, (ENUM, at))
        return "\n\n".join(part for part in parts if part) + "\n"

    def _title(self):
        return " and ".join(one.name for one in self._file.service) or f"Messages of {Path(self._file.name).name}"

    def _comment(self, path):
        return self._comments.get(path, "")

    def _service(self, service, path):
        yield _text(self._comment(path))
        for at, method in enumerate(service.method):
            request = ("stream of " if method.client_streaming else "") + self._linked(method.input_type)
            answer = ("stream of " if method.server_streaming else "") + self._linked(method.output_type)
            yield f"## {method.name}"
            yield f"{request} → {answer}"
            yield _text(self._comment((*path, METHOD, at)))

    def _message(self, message, path):
        yield f"### {message.name}"
        yield _text(self._comment(path))
        if message.field:
            rows = ["| field | type | what |", "|---|---|---|"]
            rows += [self._field(message, path, at) for at in range(len(message.field))]
            yield "\n".join(rows)

    def _field(self, message, path, at):
        field, what = message.field[at], _cell(self._comment((*path, FIELD, at)))
        if field.HasField("oneof_index") and not field.proto3_optional:
            choice = message.oneof_decl[field.oneof_index].name
            first = next(one for one in message.field if one.oneof_index == field.oneof_index and one.HasField("oneof_index"))
            rule = _cell(self._comment((*path, ONEOF, field.oneof_index))) if field.name == first.name else ""
            what = " ".join(part for part in (f"*One of `{choice}`.*", rule, what) if part)
        return f"| `{field.name}` | {self._type(message, field)} | {what} |"

    def _type(self, message, field):
        entry = next((one for one in message.nested_type if field.type_name.endswith(f".{message.name}.{one.name}")), None)
        if entry is not None and entry.options.map_entry:
            key, value = entry.field
            return f"map of {self._type(entry, key)} to {self._type(entry, value)}"
        name = self._linked(field.type_name) if field.type_name else _Field.Type.Name(field.type)[len("TYPE_") :].lower()
        if field.label == _Field.LABEL_REPEATED:
            return f"list of {name}"
        return f"optional {name}" if field.proto3_optional else name

    def _enum(self, enum, path):
        yield f"### {enum.name}"
        yield _text(self._comment(path))
        rows = ["| value | number | what |", "|---|---|---|"]
        for at, value in enumerate(enum.value):
            rows.append(f"| `{value.name}` | {value.number} | {_cell(self._comment((*path, VALUE, at)))} |")
        yield "\n".join(rows)

    def _linked(self, name):
        place = self._places.get(name)
        return f"[{name.rpartition('.')[2]}]({place})" if place else f"`{name[1:]}`"


def _index(files):
    parts = [_made_of("proto/") + "# API reference"]
    parts.append(
        "The package `lapel.v1`, a page for each file of the protocol. What the comments say is a promise: errors with their "
        "reasons, limits, defaults, and whether a call is safe to repeat."
    )
    for file in files:
        comments = {tuple(one.path): one.leading_comments for one in file.source_code_info.location}
        for at, service in enumerate(file.service):
            parts.append(f"## [{service.name}]({_page(file)})")
            rows = ["| method | what |", "|---|---|"]
            for number, method in enumerate(service.method):
                what = _first_sentence(comments[SERVICE, at, METHOD, number])
                rows.append(f"| [{method.name}]({_page(file)}#{method.name.lower()}) | {what} |")
            parts.append("\n".join(rows))
    shared = [f"[{Path(file.name).name}]({_page(file)})" for file in files if not file.service]
    parts.append(f"## Shared messages\n\n{', '.join(shared)}.")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(write())
