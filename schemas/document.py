"""What the keys of a document may hold: checks whose refusals are one line each.

A dataclass states its document: its fields are the keys, and the metadata of each field (`allows`)
holds the kind of value. `parse` makes one from plain mappings and lists, wherever they come from.
A refusal gives the file, the line where known, the key, the value, and what is allowed instead.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")
Step = str | int
_UNSHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What no text may hold: control characters, and those that reorder or break a line."""


class RuleError(ValueError):
    """A rule that cannot be taken as it stands; its text is one line."""


@dataclass(frozen=True)
class Where:
    """A place in a rule file. `lines` gives the line of each path, as far as known."""

    file: str
    lines: Mapping[tuple[Step, ...], int] = field(default_factory=dict)
    path: tuple[Step, ...] = ()

    def at(self, step: Step) -> Where:
        """The place of a key or list item below this one."""
        return Where(self.file, self.lines, (*self.path, step))

    @property
    def spot(self) -> str:
        """FILE:LINE, the line being that of the nearest place above that has one."""
        paths = (self.path[:end] for end in range(len(self.path), -1, -1))
        line = next((self.lines[path] for path in paths if path in self.lines), None)
        file = self.file if self.file.isprintable() else repr(self.file)
        return file if line is None else f"{file}:{line}"

    def error(self, fault: str) -> RuleError:
        """The error to raise: FILE:LINE: KEY: FAULT."""
        key = ""
        for step in self.path:
            name = step if str(step).isidentifier() else show(step)
            key += f"[{step}]" if isinstance(step, int) else f".{name}" if key else f"{name}"
        return RuleError(": ".join(part for part in (self.spot, key, fault) if part))


def show(value: object) -> str:
    """A value in at most 60 printable characters, as it may stand in a message."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def nearest(word: object, known: Collection[str]) -> str:
    """The rest of a refusal: the nearest known name, or all of them."""
    near = difflib.get_close_matches(str(word)[:80], known, n=1)
    return f"nearest is {near[0]!r}" if near else f"known are {', '.join(known)}"


class Kind(Protocol):
    """What a key allows."""

    def read(self, value: object, where: Where) -> Any:
        """The value as its dataclass holds it. Raises RuleError."""
        ...


@dataclass(frozen=True)
class Text:
    """A text that a pattern matches whole, without control characters; outer space is cut."""

    words: str = "text"
    pattern: str = r"(?s:.+)"

    def read(self, value: object, where: Where) -> str:
        """The text."""
        text = value.strip() if isinstance(value, str) else ""
        if not re.fullmatch(self.pattern, text):
            hint = " (quote it)" if isinstance(value, (bool, int, float)) else ""
            raise where.error(f"{show(value)} is not {self.words}{hint}")
        if odd := _UNSHOWN.search(text):
            raise where.error(f"{show(value)} holds the character {odd[0]!a}, which no text may")
        return text


@dataclass(frozen=True)
class Number:
    """A finite number from `low` to `high`; with a `step`, a whole one and a multiple of it."""

    low: float
    high: float
    step: int | None = None

    def read(self, value: object, where: Where) -> float:
        """The number: a float, or an int with a step."""
        right = isinstance(value, int) or (isinstance(value, float) and self.step is None)
        if (
            not isinstance(value, (int, float))
            or isinstance(value, bool)
            or not (right and self.low <= value <= self.high)
            or (self.step is not None and value % self.step)
        ):
            kind = "a number"
            if self.step is not None:
                kind = "a whole number" if self.step == 1 else f"a multiple of {self.step}"
            raise where.error(f"{show(value)} is not {kind} from {self.low} to {self.high}")
        return float(value) if self.step is None else value


@dataclass(frozen=True)
class YesNo:
    """true or false."""

    def read(self, value: object, where: Where) -> bool:
        """The value itself."""
        if not isinstance(value, bool):
            raise where.error(f"{show(value)} is neither true nor false")
        return value


@dataclass(frozen=True)
class OneOf:
    """A name from a list."""

    words: str
    names: Collection[str]

    def read(self, value: object, where: Where) -> str:
        """The name."""
        if not isinstance(value, str) or value not in self.names:
            raise where.error(f"{show(value)} is not {self.words}, {nearest(value, self.names)}")
        return value


@dataclass(frozen=True)
class Items:
    """A list, at least so long, of distinct things of one kind."""

    kind: Kind
    least: int = 0

    def read(self, value: object, where: Where) -> tuple[Any, ...]:
        """The list as a tuple."""
        if not isinstance(value, (list, tuple)):
            raise where.error(f"{show(value)} is not a list")
        if len(value) < self.least:
            raise where.error(f"{len(value)} items are too few, it needs {self.least}")
        items: dict[Any, None] = {}
        for index, each in enumerate(value):
            item = self.kind.read(each, where.at(index))
            if item in items:
                raise where.at(index).error(f"{show(each)} stands there twice")
            items[item] = None
        return tuple(items)


@dataclass(frozen=True)
class Names:
    """A mapping of slugs to lines of text."""

    def read(self, value: object, where: Where) -> dict[str, str]:
        """The mapping."""
        if not isinstance(value, Mapping):
            raise where.error(f"{show(value)} is not a mapping of names to texts")
        return {SLUG.read(k, where.at(k)): LINE.read(v, where.at(k)) for k, v in value.items()}


@dataclass(frozen=True)
class Nested:
    """Another dataclass of this module, by its `parse`."""

    parse: Callable[[object, Where], Any]

    def read(self, value: object, where: Where) -> Any:
        """An instance of it."""
        return self.parse(value, where)


LINE: Final = Text("one line of text", r"[^\n]{1,400}")
SLUG: Final = Text("lower-case words joined by hyphens", r"(?=.{1,80}$)[a-z0-9]+(-[a-z0-9]+)*")
PROSE: Final = Text()
LINK: Final = Text("a link that begins with https:// or http://", r"https?://[^\s<>\"]{3,400}")
UUID: Final = Text("a lower-case UUID", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def allows(kind: Kind) -> dict[str, Kind]:
    """The metadata of a dataclass field whose key in a rule file allows `kind`."""
    return {"kind": kind}


def parse(cls: type[T], document: object, where: Where) -> T:
    """A dataclass from a mapping of its fields. Raises RuleError."""
    known = {each.name: each for each in fields(cls)}  # type: ignore[arg-type]
    what = f"a {cls.__name__.lower()}"
    if not isinstance(document, Mapping):
        raise where.error(f"{show(document)} is not {what}: a mapping of {', '.join(known)}")
    for key in document:
        if key not in known:
            raise where.at(key).error(f"not a key of {what}, {nearest(key, known)}")
    for name, each in known.items():
        if each.default is MISSING and each.default_factory is MISSING and name not in document:
            raise where.error(f"{name} is missing, and {what} needs it")
    kinds: dict[str, Kind] = {name: each.metadata["kind"] for name, each in known.items()}
    return cls(**{key: kinds[key].read(value, where.at(key)) for key, value in document.items()})
