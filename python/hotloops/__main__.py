"""The command line: ``python -m hotloops ladder`` and ``python -m hotloops info``."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING

import hotloops
from hotloops.ladder import runner

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="hotloops", description="CPU kernels, from the naive loop to the limit of the machine."
    )
    parser.add_argument("--version", action="version", version=hotloops.__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    ladder = commands.add_parser(
        "ladder",
        help="measure every rung of the ladder on this machine",
        description="Measure every rung of matmul, relu and dense on this machine, beside NumPy "
        "and torch; show tables, write plots and JSON.",
    )
    runner.add_arguments(ladder)
    commands.add_parser("info", help="show version, compiler, instruction sets, caches, threads")
    parsed = parser.parse_args(arguments)
    if parsed.command == "info":
        hotloops.show_config()
        return 0
    return runner.run(parsed, ladder)


def command() -> int:
    """Run as a command of the shell: whose reader has gone (``| head``) ends by SIGPIPE."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    return main()


if __name__ == "__main__":
    sys.exit(command())
