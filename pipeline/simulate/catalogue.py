"""The calls that exist: names, services, bodies, failures. Read from catalogue.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any, Final

import yaml

DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "Client.UnauthorizedOperation",
        "AuthorizationErrorException",
    }
)
"""Error codes whose message names the caller and the call."""


@dataclass(frozen=True, slots=True)
class Action:
    """One kind of call."""

    service: str
    name: str
    read: bool
    weight: float
    """How often people call it, beside the others; 0: only machines, services and intruders do."""
    version: str
    """eventVersion of its records."""
    everywhere: bool
    """Answered in us-east-1 only, whatever the region."""
    request: str
    """requestParameters, serialised, with `<word>` for what the account fills in."""
    response: str
    resources: str
    errors: tuple[tuple[str, str], ...]
    command: str
    """The call as a command line names it."""

    @property
    def key(self) -> str:
        """Service and name, as the data files write it."""
        return f"{self.service}:{self.name}"


@cache
def load_yaml(name: str) -> Any:
    """One of the data files beside this module."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(files(__package__).joinpath(name).read_text("utf-8"), loader)


@cache
def load_catalogue() -> Mapping[str, Action]:
    """Every action by its key, in the order of the file."""
    return {action.key: action for action in _actions()}


def _actions() -> Iterator[Action]:
    for service, block in load_yaml("catalogue.yaml").items():
        errors = tuple((code, words or "") for code, words in block["errors"].items())
        for read in (True, False):
            for name, weight in block["read" if read else "write"].items():
                yield Action(
                    service=service,
                    name=name,
                    read=read,
                    weight=float(weight),
                    version=block.get("version", "1.09"),
                    everywhere=block.get("global", False),
                    request=_body(block.get("parameters"), name),
                    response="null" if read else _body(block.get("responses"), name),
                    resources=_resources(block.get("resource")),
                    errors=errors,
                    command=f"{service}.{_hyphened(name)}",
                )


def _body(patterns: Mapping[str, Any] | None, name: str) -> str:
    """The first body whose pattern fits the name."""
    for pattern, body in (patterns or {}).items():
        if fnmatchcase(name, pattern):
            return serialise(body)
    return "null"


def _resources(resource: list[str] | None) -> str:
    if resource is None:
        return ""
    kind, arn = resource
    return serialise([{"accountId": "<account>", "type": kind, "ARN": arn}])


def _hyphened(name: str) -> str:
    plain = re.sub(r"20\d{6}(v2)?$", "", name)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", plain).lower()


def serialise(body: object) -> str:
    """JSON as CloudTrail writes it."""
    return json.dumps(body, separators=(",", ":"))
