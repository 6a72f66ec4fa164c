"""Documents in Markdown: their fenced blocks, and what invisible comments above a block say of it.

- `<!-- not run: WHY -->`: it needs what a test has not.
- ``<!-- not run: `COMMAND`: WHY -->``: the same, of those of its commands that begin so.
- `<!-- file: NAME -->`: it is this file, which is there for what follows.
- `<!-- as: PATH -->`: it is this file of the project.
"""

import re
import subprocess
from dataclasses import dataclass

_MARK = re.compile(r"<!-- (not run|file|as): (?:`([^`]+)`: )?(.+?) -->")


@dataclass(frozen=True)
class Mark:
    """A comment about a block."""

    kind: str
    #: How the commands begin that it is about; None: it is about the whole block.
    command: str | None
    text: str


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    line: int
    language: str
    text: str
    marks: tuple[Mark, ...]

    def mark(self, kind):
        """What the comment of this kind about the whole block says; None: there is none."""
        return next((mark.text for mark in self.marks if mark.kind == kind and mark.command is None), None)

    @property
    def passed_over(self):
        """How the commands begin that are not run."""
        return [mark.command for mark in self.marks if mark.command is not None]


def blocks(document):
    """The blocks of a document, in their order."""
    found, marks = [], []
    lines = enumerate(document.read_text().splitlines(), 1)
    for number, line in lines:
        if mark := _MARK.fullmatch(line.strip()):
            marks.append(Mark(*mark.groups()))
        elif line.lstrip().startswith("```"):
            indent = len(line) - len(line.lstrip())
            text = []
            for _, inner in lines:
                if inner.strip() == "```":
                    break
                text.append(inner[indent:])
            found.append(Block(number, line.strip().removeprefix("```"), "\n".join([*text, ""]), tuple(marks)))
            marks = []
        elif line.strip():
            assert not marks, f"{document}:{number}: a block belongs below {marks[0]}"
    return found


def commands(text):
    """The commands of a console's block, each with the lines that it is shown to print."""
    found = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
            continue
        assert found, f"no command is before {line!r}"
        command, shown = found[-1]
        if not shown and _goes_on(command):
            found[-1] = (f"{command}\n{line}", shown)
        else:
            shown.append(line)
    return found


def _goes_on(command):
    """Whether a command ends in the middle of a quotation, or with a backslash."""
    checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True)
    return command.endswith("\\") or checked.returncode != 0


def looks_like(shown, printed):
    """Whether a command prints what it is shown to print: the first line, or a table's heading, whatever the numbers."""
    first = next((line for line in shown if line.strip(" .┌─┐")), None)
    return first is None or _form(first) in map(_form, printed.splitlines())


def _form(line):
    """A line without its numbers and the width of its columns."""
    return re.sub(r"\d[\d.,]*", "0", " ".join(line.split()))
