"""What stops a run before the graph is built, and how flags are spelled."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, Final, NoReturn

from schemas.text import one_line

_MISSING: Final = "the following arguments are required: "
_KINDS: Final = {str(int): "not a whole number", str(float): "not a number"}


class UsageError(ValueError):
    """Bad configuration: one line that names the thing, its value and the fix. Exit status 2."""

    def __init__(self, told: str) -> None:
        super().__init__(one_line(told))


class Parser(argparse.ArgumentParser):
    """A parser whose refusals are UsageErrors: `--flag value: what is wrong; the fix`."""

    def error(self, message: str) -> NoReturn:
        """See the class."""
        if message.startswith(_MISSING):
            raise UsageError(f"{message.removeprefix(_MISSING)}: not given; {self._see()}")
        told = message.removeprefix("argument ")
        told = told.replace("expected one argument", "a value is missing")
        raise UsageError(f"{told}; {self._see()}")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As its base; see the class."""
        found, rest = self.parse_known_args(args, namespace)
        self.refuse(rest)
        return found

    def refuse(self, rest: Sequence[str]) -> None:
        """Refuse what is left of a command line, if anything is."""
        for token in rest:
            name = token.partition("=")[0]
            if not token.startswith("-"):
                raise UsageError(f"{token}: one argument too many; {self._see()}")
            flags = (flag for action in self._actions for flag in action.option_strings)
            raise UsageError(f"{name}: no such option{nearest(name, flags) or f'; {self._see()}'}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        near = nearest(str(value), known)
        raise UsageError(f"{_name(action)} {value}: no such value{near}; choose {either(known)}")

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError as error:
            told = _KINDS.get(str(action.type), error.message)
            raise UsageError(f"{_name(action)} {arg_string}: {told}; {self._see()}") from None

    def _see(self) -> str:
        return f"see {self.prog} --help"


def _name(action: argparse.Action) -> str:
    return action.option_strings[0] if action.option_strings else str(action.metavar)


def either(names: Sequence[str]) -> str:
    """ "a, b or c"."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


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
