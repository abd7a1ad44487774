"""A YAML file of options, as the command line would have them."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import Final

import yaml

from pipeline.errors import UsageError, either, nearest, underscored
from pipeline.plain_yaml import TAG, compose, line_of, problem_of, refusal

INPUTS: Final = "inputs"
_TRUE: Final = ("true", "yes", "on")


def config_tokens(path: Path, parser: argparse.ArgumentParser, given: Collection[str]) -> list[str]:
    """The options in a file as command-line tokens, less those `given` there, by destination.

    Raises UsageError that names the file, the key and, for an unknown key, the nearest known one.
    """
    try:
        root = compose(path.read_text("utf-8-sig"))
        if not isinstance(root, yaml.MappingNode):
            raise UsageError(f"--config {path}: not a mapping of option names to values")
        values = _values(root)
    except UnicodeDecodeError as error:
        raise UsageError(f"--config {path}: cannot be read: no UTF-8, byte {error.start}") from None
    except OSError as error:
        raise UsageError(f"--config {path}: cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        line = line_of(error)
        at = "" if line is None else f"line {line}: "
        raise UsageError(f"--config {path}: cannot be read: {at}{problem_of(error)}") from None
    actions = {flag: action for action in parser._actions for flag in action.option_strings}
    tokens: list[str] = []
    for key, value in values.items():
        flag = underscored(f"--{key}")
        if key == INPUTS:
            found, name = _texts(path, key, value), INPUTS
        elif flag not in actions or flag in ("--config", "--help"):
            names = [*(name.lstrip("-") for name in actions if name != "--config"), INPUTS]
            raise UsageError(f"--config {path}: {key}: no such option{nearest(key, names)}")
        else:
            found = _option_tokens(path, key, value, actions[flag], flag)
            name = actions[flag].dest
        if name not in given:
            tokens += found
    return tokens


def _option_tokens(
    path: Path, key: str, value: object, action: argparse.Action, flag: str
) -> list[str]:
    """One option: a switch is true or false, one that may be repeated may be a list."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise UsageError(f"--config {path}: {key}: {value}: must be true or false")
        return [flag] if value else []
    if value is None:
        return []
    repeated = not isinstance(action, argparse._StoreAction)
    if isinstance(value, list) and not repeated:
        raise UsageError(f"--config {path}: {key}: takes one value, not a list")
    texts = _texts(path, key, value)
    known = list(map(str, action.choices or ()))
    if not repeated and known and texts[0] not in known:
        fault = f"{texts[0]}: no such value{nearest(texts[0], known)}; choose {either(known)}"
        raise UsageError(f"--config {path}: {key}: {fault}")
    return [f"{flag}={text}" for text in texts]


def _texts(path: Path, key: str, value: object) -> list[str]:
    """A value or list of values as text."""
    texts = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, str):
            shown = str(item).lower() if isinstance(item, bool) else "a list or a mapping"
            raise UsageError(f"--config {path}: {key}: {shown}: must be text or a number")
        texts.append(item)
    return texts


def _values(root: yaml.MappingNode) -> dict[str, object]:
    """What a file says: scalars as they are written, but for true, false and null."""
    values: dict[str, object] = {}
    for key, value in root.value:
        if not isinstance(key, yaml.ScalarNode):
            raise refusal("an option's name must be plain text", key.start_mark)
        if key.value in values:
            raise refusal(f"{key.value} stands there twice", key.start_mark)
        values[key.value] = _value(value)
    return values


def _value(node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode) and node.tag == f"{TAG}seq":
        return [_value(item) for item in node.value]
    if isinstance(node, yaml.MappingNode) and node.tag == f"{TAG}map":
        return {}
    if not isinstance(node, yaml.ScalarNode) or not node.tag.startswith(TAG):
        raise refusal(f"the tag {node.tag[:60]} is not allowed", node.start_mark)
    if node.tag.removeprefix(TAG) not in ("str", "int", "float", "bool", "null", "timestamp"):
        raise refusal(f"the tag {node.tag[:60]} is not allowed", node.start_mark)
    if node.tag == f"{TAG}null":
        return None
    if node.tag == f"{TAG}bool":
        return node.value.lower() in _TRUE
    return node.value
