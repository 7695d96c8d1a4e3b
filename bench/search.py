"""How fast is the search, beside its peers, and who loses answers? Markdown for docs/benchmarks.md.

    python bench/search.py [--rows N] [--folder FOLDER] [--only CASE...] [--skip PEER...]

All cases run in one process and one thread of BLAS, on the same rows, one after another; every
figure is the median CPU time of one query, which other work on the machine changes less than time
by the clock. Recall is against brute force in float64. FOLDER keeps the rows and the peers' indexes
for another run. Peers: the dependency group `search-peers`.
"""

import os

# before NumPy: one thread, so that CPU time is time
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("RUST_LOG", "error")

import argparse
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.search_cases import CASES
from bench.search_state import Bench


def main() -> None:
    """Run the cases and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--skip", nargs="*", default=[])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(args.folder or Path(scratch), args.rows, skip=frozenset(args.skip))
        for name in args.only:
            print(f"\n{CASES[name](bench)}", flush=True)


if __name__ == "__main__":
    main()
