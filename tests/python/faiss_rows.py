"""FAISS's own 4-bit fast scan on the signatures and queries that `lapel-server bench-search --write FOLDER` wrote.

    pip install --requirement tests/python/faiss_rows.txt
    python tests/python/faiss_rows.py FOLDER

It prints what `bench-search --fast-scan` prints of the scan in Rust, to check that: recall once the candidates are
rescored exactly, and milliseconds of the scan alone, on one thread. A query is the concatenation of its vectors times
their weights, searched by inner product; a missing signature is a vector of zeros, and scored by the distance that
Lapel expects.
"""

import sys
import time
from pathlib import Path

import faiss
import numpy as np

CANDIDATES = (100, 1_000, 4_000, 16_000)
KS = (10, 100)
SAMPLE_MAX = 65_536


def true_best(heads: list[np.ndarray], queries: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """The items of the least sum of weight times distance, best first, by query; heads are [items, dim] each."""
    means = [np.nanmean(rows, axis=0) for rows in heads]
    best = []
    for query, weight in zip(queries, weights, strict=True):
        total = np.zeros(len(heads[0]))
        for head in np.flatnonzero(weight):
            products = heads[head] @ query[head]
            products = np.where(np.isnan(products), means[head] @ query[head], products)
            total += weight[head] * np.sqrt(np.maximum(2 - 2 * products, 0))
        nearest = np.argpartition(total, max(KS))[: max(KS)]
        best.append(nearest[np.argsort(total[nearest])])
    return best


def main() -> None:
    """Builds the index and prints a table for each number of candidates."""
    folder = Path(sys.argv[1])
    heads = [np.load(path) for path in sorted(folder.glob("signatures_*.npy"))]
    weights = np.load(folder / "weights.npy")
    queries = np.load(folder / "queries.npy").reshape(len(weights), len(heads), -1)
    regimes = np.array((folder / "regimes.txt").read_text().splitlines())
    best = true_best(heads, queries, weights)
    rows = np.nan_to_num(np.concatenate(heads, axis=1))
    scaled = (queries * weights[:, :, None]).reshape(len(queries), -1).astype(np.float32)
    faiss.omp_set_num_threads(1)
    index = faiss.index_factory(rows.shape[1], f"PQ{rows.shape[1] // 4}x4fs", faiss.METRIC_INNER_PRODUCT)
    index.train(rows[:: -(-len(rows) // SAMPLE_MAX)])
    index.add(rows)
    for candidates in CANDIDATES:
        print(f"\nFAISS {faiss.__version__}, {candidates} candidates rescored")
        print(f"{'regime':<13}{'recall@10':>10}{'recall@100':>11}{'scan p50':>9}")
        for regime in dict.fromkeys(regimes):
            found, times = [], []
            for at in np.flatnonzero(regimes == regime):
                start = time.perf_counter()
                _, ids = index.search(scaled[at : at + 1], candidates)
                times.append(1e3 * (time.perf_counter() - start))
                found.append([np.isin(best[at][:k], ids).mean() for k in KS])
            at_10, at_100 = np.mean(found, axis=0)
            print(f"{regime:<13}{at_10:>10.4f}{at_100:>11.4f}{np.median(times):>9.3f}", flush=True)


if __name__ == "__main__":
    main()
