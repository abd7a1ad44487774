"""YAML without trust: its nodes, once nothing in it makes a small text large."""

from __future__ import annotations

from typing import Any, Final

import yaml

DEPTH_LIMIT: Final = 10
"""Most levels of a file of ours; a rule needs four."""
TAG: Final = "tag:yaml.org,2002:"


def compose(text: str) -> yaml.Node | None:
    """The nodes of a text, with their marks; None for an empty one.

    Raises yaml.YAMLError for what is no YAML, and for anchors, aliases and depth.
    """
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if getattr(event, "anchor", None) is not None:
            raise refusal("anchors and aliases are not allowed", event.start_mark)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_LIMIT:
            raise refusal(f"more than {DEPTH_LIMIT} levels deep", event.start_mark)
    root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    return root


def refusal(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    """The error of something that YAML allows and we do not."""
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def line_of(error: yaml.YAMLError) -> int | None:
    """The line that an error names, from 1."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return None if mark is None else int(mark.line) + 1


def problem_of(error: yaml.YAMLError) -> str:
    """What is wrong, in one line."""
    problem = getattr(error, "problem", None) or getattr(error, "reason", None)
    return " ".join(str(problem or "not YAML").split())
