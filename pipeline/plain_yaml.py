"""YAML without trust: its nodes, once nothing in it makes a small text large."""

from __future__ import annotations

from typing import Any, Final

import yaml

DEPTH_LIMIT: Final = 10
"""Most levels of a file of ours; a rule needs four."""
TAG: Final = "tag:yaml.org,2002:"
_PLAIN: Final = ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")


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


def words(node: yaml.Node, lines: dict[tuple[str | int, ...], int]) -> object:
    """What a node says, all its scalars as they are written; `lines` gets the line of every path.

    Raises yaml.YAMLError for tags, and for keys that are no text or stand there twice.
    """
    return _words(node, (), lines)


def _words(
    node: yaml.Node, path: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int]
) -> object:
    lines[path] = node.start_mark.line + 1
    if node.tag.removeprefix(TAG) not in _PLAIN:
        raise refusal(f"the tag {node.tag[:60]!r} is not allowed", node.start_mark)
    if isinstance(node, yaml.SequenceNode):
        return [_words(each, (*path, index), lines) for index, each in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == f"{TAG}null" else node.value
    mapping: dict[str, object] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise refusal("a key must be plain text", key.start_mark)
        if key.value in mapping:
            raise refusal(f"the key {key.value[:60]!r} stands there twice", key.start_mark)
        mapping[key.value] = _words(value, (*path, key.value), lines)
    return mapping


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
