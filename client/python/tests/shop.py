"""The demo's photos."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
WARDROBE = ROOT / "examples/wardrobe"
#: The photo of the README's query, which is in no catalogue.
DRESS = ROOT / "examples/queries/dress.jpg"
#: Photos in the shared catalogue.
ITEMS = 20
