"""seqloom evaluate: how good a model is on a file."""

import sys

from seqloom.cli import options


def command(
    model: options.ModelFolder, data: options.Data, set: options.Set = None, json: options.Json = False
) -> None:
    """Score MODEL on DATA, beside the baselines."""
    from seqloom.api import load
    from seqloom.cli.escape import escaped
    from seqloom.cli.tables import print_json, print_scores

    result = load(model).with_decoding(set or ()).evaluate(data)
    if json:
        print_json(result)
        return
    print_scores(result)
    for row in result["rejected"][:5]:
        print(escaped(f"{data}:{row['line']}: not used: {row['reason']}"), file=sys.stderr)
    if len(result["rejected"]) > 5:
        print(f"{len(result['rejected']) - 5} more rows not used", file=sys.stderr)
