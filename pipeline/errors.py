"""What stops a run before the graph is built, and how flags are spelled."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from difflib import get_close_matches
from typing import NoReturn

from schemas.text import one_line


class UsageError(ValueError):
    """Bad configuration: one line that names the thing, its value and the fix. Exit status 2."""

    def __init__(self, told: str) -> None:
        super().__init__(one_line(told))


class Parser(argparse.ArgumentParser):
    """A parser whose refusals are UsageErrors."""

    def error(self, message: str) -> NoReturn:
        """See the class."""
        raise UsageError(message)


def nearest(name: str, names: Iterable[str]) -> str:
    """ " (did you mean …?)", or nothing where no name is near."""
    found = get_close_matches(name, list(names), 1, 0.5)
    return f" (did you mean {found[0]}?)" if found else ""


def underscored(token: str) -> str:
    """`--geoip-database=x` as `--geoip_database=x`; anything else as it is."""
    if not token.startswith("--"):
        return token
    name, equals, value = token.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value
