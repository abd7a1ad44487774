"""JSON values as CloudTrail writes them: what counts as absent, what counts as text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

K = TypeVar("K")
V = TypeVar("V")

ABSENT: Final = ("", "-", "none")
"""Strings that say nothing. So do null, empty lists and empty maps."""

NOTHING: Final[Mapping[str, Any]] = {}

_JSON_NAMES: Final = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}


class RefusedError(ValueError):
    """One sentence that says why something cannot be an event: names the thing and its value."""


class Memo(dict[K, V]):
    """A bounded cache of a pure function: `memo[key]` is `function(key)`.

    Emptied when it holds `limit` entries; a key longer than `longest` is computed each time, so
    that strange input cannot fill the memory.
    """

    def __init__(self, function: Callable[[K], V], *, limit: int = 8192, longest: int = 4096):
        super().__init__()
        self._function = function
        self._limit = limit
        self._longest = longest

    def __missing__(self, key: K) -> V:
        value = self._function(key)
        if key is None or len(key) <= self._longest:  # type: ignore[arg-type]  # text or bytes
            if len(self) >= self._limit:
                self.clear()
            self[key] = value
        return value


def is_absent(value: object) -> bool:
    """Whether a JSON value says nothing: null, "", "-", "none", [] or {}."""
    return value is None or value in (*ABSENT, [], {})


def text(value: object, name: str) -> str:
    """The text of an optional field: of a number or boolean as JSON writes it, "" if absent.

    Raises RefusedError for a list or map that is not empty.
    """
    if isinstance(value, str):
        return "" if value in ABSENT else value
    if is_absent(value):
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise RefusedError(f"{name} is {describe(value)}, not text.")


def account(value: object, name: str) -> str:
    """The text of an account number, which as a JSON number has lost its leading zeros."""
    digits = text(value, name)
    return digits.zfill(12) if type(value) is int and value >= 0 else digits


def mapping(value: object, name: str) -> Mapping[str, Any]:
    """A map, empty if absent. Raises RefusedError for anything else."""
    if isinstance(value, dict):
        return value
    if is_absent(value):
        return NOTHING
    raise RefusedError(f"{name} is {describe(value)}, not a map.")


def decode(raw: bytes | msgspec.Raw, name: str) -> Any:
    """A JSON value; null for no bytes. Raises RefusedError with what is wrong with it."""
    if not bytes(raw):
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(f"{name} is {fault(error)}.") from error


def describe(value: object) -> str:
    """A JSON value for a sentence, to follow "is": its kind, and the start of it."""
    kind = _JSON_NAMES.get(type(value), "a list" if isinstance(value, list) else "a map")
    return "missing or null" if value is None else f"{kind} ({shown(value)})"


def shown(value: object) -> str:
    """The start of a JSON value, as JSON in ASCII."""
    written = json.dumps(value)
    return written if len(written) <= 64 else f"{written[:64]}…"


def fault(error: Exception) -> str:
    """What is wrong with bytes that did not decode as JSON, to follow "is"."""
    if isinstance(error, RecursionError):
        return "nested too deeply to be read"
    if isinstance(error, UnicodeDecodeError):
        byte = error.object[error.start]
        return f"not valid UTF-8: byte 0x{byte:02x} at {error.start}, {error.reason}"
    reason = str(error).removeprefix("JSON is malformed: ")
    return f"not valid JSON: {reason[:1].lower()}{reason[1:]}"
