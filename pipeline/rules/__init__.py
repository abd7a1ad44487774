"""The rules: YAML files, built in or the user's own, read without trust.

A rule file is data. YAML's aliases, anchors, tags, duplicate keys and odd numbers are refused, and
nothing of it is constructed but text, plain numbers, true, false and null.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Final

import yaml

from pipeline.plain_yaml import TAG, compose, line_of, problem_of, refusal
from schemas.document import OneOf, Step
from schemas.rule import FIRST_ACTIVITY, SCORERS, Rule, RuleError, Where, distinct

FILE_LIMIT: Final = 256_000
"""Most bytes of a rule file."""
SUFFIXES: Final = (".yaml", ".yml")


def load_rules(paths: Sequence[Path] | None = None) -> list[Rule]:
    """The built-in rules, or those of the given files and directories (with what lies below).

    One rule a file; files of a directory in the order of their names, hidden ones left out.
    Raises RuleError: a file that cannot be read or is not a rule, nothing found, names given twice.
    """
    texts = _built_in() if paths is None else _files(paths)
    rules = distinct(parse_rule(text, name) for name, text in texts)
    if not rules:
        places = "the package" if paths is None else ", ".join(map(str, paths)) or "an empty list"
        raise Where(places).error("no rule file (*.yaml) is there")
    return rules


def chosen(rules: Sequence[Rule], enable: Sequence[str], disable: Sequence[str]) -> list[Rule]:
    """Those that are on, or `enable` names, less those that `disable` names. Raises RuleError."""
    ids = [rule.id for rule in rules]
    for flag, names in (("--enable", enable), ("--disable", disable)):
        for name in names:
            OneOf("the id of a rule", ids).read(name, Where(flag))
    on = [rule for rule in rules if rule.enabled or rule.id in enable]
    kept = [rule for rule in on if rule.id not in disable]
    if not kept:
        raise Where("--disable" if disable else "--rules").error("no rule is left that is on")
    return kept


def with_scorer(rules: Sequence[Rule], name: str) -> list[Rule]:
    """The same rules, all judged by one scorer. Raises RuleError for an unknown one, and for a rule
    that it cannot judge.
    """
    scorer = OneOf("a scorer", SCORERS).read(name, Where("--scorer"))
    for rule in rules:
        if rule.detector.function == FIRST_ACTIVITY and scorer != "contrast":
            fault = f"{scorer!r} cannot judge {rule.id}, which looks for new entities"
            raise Where("--scorer").error(f"{fault}; leave it out with --disable {rule.id}")
    return [replace(rule, detector=replace(rule.detector, scorer=scorer)) for rule in rules]


def parse_rule(text: bytes, file: str) -> tuple[Rule, Where]:
    """The rule that the YAML text of a file holds, and where its keys are. Raises RuleError."""
    if len(text) > FILE_LIMIT:
        raise Where(file).error(f"larger than a rule file may be, {FILE_LIMIT:,} bytes")
    lines: dict[tuple[Step, ...], int] = {}
    where = Where(file, lines)
    try:
        root = compose(text.decode("utf-8-sig"))
        if root is None:
            raise where.error("empty: a rule file holds one rule")
        document = _value(root, (), lines)
    except UnicodeDecodeError as error:
        raise where.error(f"not UTF-8 text, at byte {error.start}") from None
    except yaml.YAMLError as error:
        raise _at_mark(where, error) from None
    return Rule.parse(document, where), where


def _built_in() -> Iterator[tuple[str, bytes]]:
    """(name, text) of the rules that come with the program."""
    files = (each for each in resources.files(__name__).iterdir() if each.name.endswith(SUFFIXES))
    for each in sorted(files, key=lambda each: each.name):
        yield f"built-in {each.name}", each.read_bytes()


def _files(paths: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """(name, text) of rule files. Raises RuleError."""
    for path in paths:
        where = Where(str(path))
        try:
            if path.is_dir():
                files = sorted(each for each in path.rglob("*") if _is_rule_file(path, each))
                if not files:
                    raise where.error("no rule file (*.yaml) is there")
            elif path.is_file():
                files = [path]
            else:
                raise where.error("no such file or directory")
            for each in files:
                where = Where(str(each))
                with each.open("rb") as stream:
                    yield str(each), stream.read(FILE_LIMIT + 1)
        except OSError as error:
            raise where.error(f"cannot be read: {error.strerror or error}") from None


def _is_rule_file(root: Path, path: Path) -> bool:
    """Whether a path found in a directory is a rule file that is not hidden."""
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.suffix in SUFFIXES and not hidden and path.is_file()


_INT: Final = re.compile(r"-?(0|[1-9]\d{0,17})")
_FLOAT: Final = re.compile(r"-?(0|[1-9]\d{0,17})\.\d{1,18}")


def _value(node: yaml.Node, path: tuple[Step, ...], lines: dict[tuple[Step, ...], int]) -> object:
    """What a node says, in plain Python; `lines` gets the line of every path below it."""
    lines.setdefault(path, node.start_mark.line + 1)
    tag = node.tag.removeprefix(TAG)
    if isinstance(node, yaml.MappingNode) and tag == "map":
        mapping: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != f"{TAG}str":
                raise refusal("a key must be plain text", key_node.start_mark)
            key = key_node.value
            if key in mapping:
                raise refusal(f"the key {key[:60]!r} stands there twice", key_node.start_mark)
            lines[(*path, key)] = key_node.start_mark.line + 1
            mapping[key] = _value(value_node, (*path, key), lines)
        return mapping
    if isinstance(node, yaml.SequenceNode) and tag == "seq":
        return [_value(each, (*path, index), lines) for index, each in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, tag)
    raise refusal(f"the tag {node.tag[:60]!r} is not allowed", node.start_mark)


def _scalar(node: yaml.ScalarNode, tag: str) -> str | int | float | bool | None:
    """Text, a plain number, true, false or null; nothing else that YAML makes of a scalar."""
    text: str = node.value
    constants: dict[str, bool] = yaml.SafeLoader.bool_values
    if tag == "str":
        return text
    if tag == "null":
        return None
    if tag == "bool" and text.lower() in constants:
        return constants[text.lower()]
    if tag == "int" and _INT.fullmatch(text):
        return int(text)
    if tag == "float" and _FLOAT.fullmatch(text):
        return float(text)
    fault = f"{text[:60]!r} is neither text nor a plain decimal number ({tag[:60]})"
    raise refusal(f"{fault}; quote it if it is meant as text", node.start_mark)


def _at_mark(where: Where, error: yaml.YAMLError) -> RuleError:
    """A RuleError with the line that a YAML error names."""
    number = line_of(error)
    line: dict[tuple[Step, ...], int] = {} if number is None else {(): number}
    return Where(where.file, line).error(f"cannot be read as YAML: {problem_of(error)}")
