"""seqloom check: what is in the data, before any training."""

import sys

from seqloom.cli import options


def command(
    data: options.Data,
    task: options.Task = None,
    input: options.Input = None,
    target: options.Target = None,
    valid: options.Valid = None,
    test: options.Test = None,
    config: options.ConfigFile = None,
    set: options.Set = None,
    json: options.Json = False,
) -> None:
    """Read DATA as training would, and report what was found as numbered findings."""
    from seqloom.cli.tables import print_findings, print_json
    from seqloom.config import load_config
    from seqloom.data.check import check

    named = {"task": task, "data.input": input, "data.target": target}
    report = check(load_config(config, set or (), named=named), data, valid=valid, test=test)
    if json:
        print_json(report.to_dict())
    else:
        print_findings(report.findings)
    if any(finding.level == "error" for finding in report.findings):
        sys.exit(2)
