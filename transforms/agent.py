"""User agent -> tool: the family of programs that made a call."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 32
"""Most characters of a tool's name."""

_READ: Final = 1024  # characters of an agent that are looked at

_FAMILIES: Final = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"terraform", "terraform"),
        (r"^\w*console\w*(?:[/,]|$)|\bconsole\.(?:[\w-]+\.)?amazonaws\.com|^signin\.", "console"),
        (r"\baws-cli/", "aws-cli"),
        (r"\bboto3/", "boto3"),
        (r"\bbotocore/", "botocore"),
        (r"\baws-sdk-(?:js|nodejs)\b", "aws-sdk-js"),
        (r"^(?:mozilla|opera)\b", "browser"),
        (r"^aws internal$", "aws internal"),
    )
)
_SDK: Final = re.compile(r"\baws-sdk-[a-z]+")
_SERVICE: Final = re.compile(r"([\w.-]+)\.amazonaws\.com")
_FIRST: Final = re.compile(r"[^/\s]*")
_GUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def tool_of(agent: str) -> str:
    """The family of a user agent, lower case, at most 32 characters; "" for none.

    Known families (`aws-cli`, `boto3`, `aws-sdk-go`, `terraform`, `console`, `browser` …) by their
    marks, most telling first, since an agent names the libraries beneath it too; a service by its
    name (`config.amazonaws.com` is `config`); any other by what stands before its first "/" or
    space, with "*" for a GUID.
    """
    lowered = agent[:_READ].lower().strip(" []\"'")
    for family, name in _FAMILIES:
        if family.search(lowered):
            return name
    match = _SDK.search(lowered) or _SERVICE.fullmatch(lowered) or _FIRST.match(lowered)
    name = match[match.lastindex or 0] if match else ""
    return _GUID.sub("*", name)[:LONGEST]
