"""How fast items are uploaded, beside `lapel items import`: the same photos to the same server, one after the other.

    python client/python/benches/upload.py --lapel target/release/lapel --items 10000

The demo's photos are sent again and again under other ids, so that the folder takes no space but names. Both ways leave
the same catalogue; the server is to be one of its own (LAPEL_SERVER).
"""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import lapel

PHOTOS = sorted((Path(__file__).resolve().parents[3] / "examples/wardrobe/images").glob("*.jpg"))


def linked(folder: Path, count: int) -> list[Path]:
    """So many photos in a folder, as links."""
    paths = [folder / f"bench-{number:05}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.symlink_to(PHOTOS[number % len(PHOTOS)])
    return paths


def main() -> None:
    """Measures both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--lapel", type=Path, required=True, help="the command line's program")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, lapel.Client() as client:
        folder = Path(name)
        paths = linked(folder, options.items)
        ids = [path.stem for path in paths]
        rates = {}
        for who in ("rust", "python"):
            began = time.monotonic()
            if who == "rust":
                subprocess.run([options.lapel, "items", "import", folder], check=True, stdout=subprocess.DEVNULL)
            else:
                items = (lapel.NewItem(id=path.stem, image=path) for path in paths)
                report = client.items.upsert(items, parallel=options.parallel)
                assert report.stored == options.items, report.refused[:3]
            rates[who] = options.items / (time.monotonic() - began)
            print(f"{who:7} {rates[who]:8.1f} items/s", flush=True)
            for at in range(0, len(ids), 10_000):
                client.items.delete(ids[at : at + 10_000])
    print(f"{rates['python'] / rates['rust']:.0%} of the rate in Rust")


if __name__ == "__main__":
    main()
