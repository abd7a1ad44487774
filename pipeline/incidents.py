"""The file of confirmed incidents: when which entity was in other hands."""

from __future__ import annotations

from pathlib import Path

import yaml

from pipeline.plain_yaml import compose, line_of, problem_of, words
from schemas.document import Step, Where
from schemas.incident import Incident


def load_incidents(path: Path) -> tuple[Incident, ...]:
    """The incidents of a YAML file, a list of mappings. Raises RuleError of one line."""
    lines: dict[tuple[Step, ...], int] = {}
    where = Where(str(path), lines)
    try:
        root = compose(path.read_text("utf-8-sig"))
        document = [] if root is None else words(root, lines)
    except OSError as error:
        raise where.error(f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise where.error(f"cannot be read: no UTF-8, byte {error.start}") from None
    except yaml.YAMLError as error:
        line = line_of(error)
        at = Where(str(path), {} if line is None else {(): line})
        raise at.error(f"cannot be read as YAML: {problem_of(error)}") from None
    if not isinstance(document, list):
        raise where.error("not a list of incidents, each with entity, from and until")
    return tuple(Incident.parse(each, where.at(index)) for index, each in enumerate(document))
