"""python -m benchmarks.run [--short]: the main job on each data set, one line each; if short, the core's too."""

import argparse
import os
import sys

from benchmarks import recurrent
from benchmarks.sentiment import SETS, measure, rescore


def main() -> int:
    """Exit code 0, or 2 where the data are not there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="one epoch of SST-2, and a few cases of the core")
    parser.add_argument("--only", choices=sorted(SETS), help="one data set")
    parser.add_argument("--baselines", action="store_true", help="only the baselines of the kept results, again")
    given = parser.parse_args()
    if "SEQLOOM_DATA" not in os.environ:
        print("the data sets are not here: set SEQLOOM_DATA to the folder that holds sst2 and imdb", file=sys.stderr)
        return 2
    names = ["sst2"] if given.short else [given.only] if given.only else sorted(SETS)
    for name in names:
        short = {"training.epochs": 1} if given.short else {}
        result = rescore(name) if given.baselines else measure(name, settings=short)
        final = result["final"]
        print(
            f"{name}: accuracy {final['metrics']['accuracy']:.4f}, linear baseline "
            f"{final['baselines']['tfidf_logreg']['accuracy']:.4f}, {final['tokens_per_second']:,} tokens/s, "
            f"{result['minutes']:.1f} minutes"
        )
    return recurrent.main([]) if given.short else 0


if __name__ == "__main__":
    sys.exit(main())
