"""What the documentation shows runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

from shop import DRESS

HERE = Path(__file__).resolve().parents[1]


def run(code, address, folder):
    """Runs a program as a user does."""
    environment = {**os.environ, "LAPEL_SERVER": address, "LAPEL_TOKEN": ""}
    answer = subprocess.run(
        [sys.executable, *code], env=environment, cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_the_tour(shop, tmp_path):
    told = run([HERE / "examples/tour.py"], shop.address, tmp_path)
    assert "dress" in told and "NOT_FOUND" in told and "told right" in told


def test_the_readme(shop, tmp_path):
    (tmp_path / "dress.jpg").write_bytes(DRESS.read_bytes())
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/readme-01.jpg").write_bytes(DRESS.read_bytes())
    text = (HERE / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) > 3
    # Those of tests and of certificates need more than a server.
    shown = [block for block in blocks if "# not run" not in block]
    run(["-c", "\n".join(shown)], shop.address, tmp_path)
