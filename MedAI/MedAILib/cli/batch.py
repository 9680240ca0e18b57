"""How the end of a batch is told."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..batch import BatchResult


def tell_batch(result: BatchResult, done: str, options: argparse.Namespace) -> int:
    """Print counts, failures and the place of the report, or all records as JSON.

    Args:
        result: of the batch.
        done: what was done with the cases, e.g. "segmented".
        options: with ``json`` and ``quiet``.

    Returns:
        The exit status.
    """
    from ..batch import SOME_FAILED

    if options.json:
        print(json.dumps(result.to_json()))
    elif not options.quiet:
        good = len(result.records) - result.failed
        earlier = f" ({result.skipped} of them earlier)" if result.skipped else ""
        print(f"{good} of {len(result.records)} cases {done}{earlier}, {result.failed} failed.")
        for record in result.records:
            if record.failed:
                print(f"  {record.input}: {record.error['message']}")
        print(f"Report: {result.folder / 'report.html'}")
    return SOME_FAILED if result.failed else 0
