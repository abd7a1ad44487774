"""The command line: `raretrail COMMAND …`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Final

from pipeline.errors import Parser, UsageError, nearest, underscored

_USAGE: Final = """\
usage: raretrail COMMAND …

  run INPUT… --output OUT   find unusual API calls in CloudTrail logs
  watch INPUT… --output OUT do so every 15 minutes with what is new
  state show SNAPSHOT       what a snapshot remembers of users and cities
  simulate DIR              write a small organisation with labelled attacks
  version                   print the version

`raretrail COMMAND --help` tells more, the exit statuses too."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status, as its help tells it."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_USAGE)
        return 0 if arguments else 2
    name, *rest = arguments
    command = _COMMANDS.get(name)
    try:
        if command is None:
            near = nearest(name, _COMMANDS) or "; see raretrail --help"
            raise UsageError(f"command {name}: no such command{near}")
        return command(rest)
    except UsageError as error:
        print(f"raretrail: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        print("raretrail: interrupted", file=sys.stderr)
        return 130


def _quiet() -> None:
    logging.basicConfig(level=logging.ERROR)  # Beam warns of things that concern nobody here


def _run(argv: list[str]) -> int:
    _quiet()
    from pipeline.run import run  # noqa: PLC0415  Beam takes a second to import

    return run(argv)


def _watch(argv: list[str]) -> int:
    _quiet()
    from pipeline.watch import watch  # noqa: PLC0415

    return watch(argv)


def _state(argv: list[str]) -> int:
    _quiet()
    from pipeline.state import command  # noqa: PLC0415

    return command(argv)


def _simulate(argv: list[str]) -> int:
    from pipeline.simulate import command  # noqa: PLC0415

    parser = Parser(prog="raretrail simulate", allow_abbrev=False)
    command.add_arguments(parser)
    return command.run(parser.parse_args([underscored(token) for token in argv]))


def _version(argv: list[str]) -> int:
    print(f"raretrail {version('raretrail')}")
    return 0


_COMMANDS: Final[dict[str, Callable[[list[str]], int]]] = {
    "run": _run,
    "watch": _watch,
    "state": _state,
    "simulate": _simulate,
    "version": _version,
    "--version": _version,
}
