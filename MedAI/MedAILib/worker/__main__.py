"""``python -m MedAILib.worker``: the worker process; started by the client, not by hand."""

from __future__ import annotations

import argparse
import importlib
import signal
from pathlib import Path


def main() -> None:
    """Serve messages from standard input until it ends."""
    parser = argparse.ArgumentParser(prog="python -m MedAILib.worker", description=__doc__)
    parser.add_argument("--device", default="auto", help="where to compute, e.g. auto, cpu, cuda")
    parser.add_argument("--parent", type=int, help="process id of the client, with which the worker ends")
    parser.add_argument("--folder", type=Path, help="the client's folder for temporary files, if not the usual one")
    parser.add_argument("--tasks", help="module with further TASKS")
    arguments = parser.parse_args()
    from .channel import Channel

    channel = Channel()  # before anything else can print
    from .server import Server
    from .tasks import TASKS

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the client decides what Ctrl+C means
    tasks = dict(TASKS)
    if arguments.tasks:
        tasks |= importlib.import_module(arguments.tasks).TASKS
    Server(channel, arguments.device, tasks, arguments.parent, arguments.folder).serve()


if __name__ == "__main__":
    main()
