"""`make bench`, or `python -m benchmarks [NAME ...]`: runs the measurements and prints their tables."""

from __future__ import annotations

import asyncio
import sys

from benchmarks import chain, cost, edits, memory, page, star, translation

MEASURES = {
    "cost": cost, "chain": chain, "translation": translation, "memory": memory, "edits": edits, "page": page, "star": star,
}


def main(names: list[str]) -> int:
    """Run the measures `names`, all without any."""
    unknown = [name for name in names if name not in MEASURES]
    if unknown:
        print(f"no such measure: {', '.join(unknown)}; there are {', '.join(MEASURES)}", file=sys.stderr)
        return 2
    for name in names or MEASURES:
        module = MEASURES[name]
        print(f"\n{(module.__doc__ or '').strip()}\n")
        print("\n".join(asyncio.run(module.measure())), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
