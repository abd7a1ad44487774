"""Rule files and directories: what is read, and what YAML may not do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.rules import FILE_LIMIT, load_rules, parse_rule
from schemas.rule import Rule, RuleError, Where, detectors

RULES = Path(__file__).parents[2] / "pipeline" / "rules"
FULL: dict[str, Any] = yaml.safe_load((RULES / "unusual_aws_command_for_a_user.yaml").read_text())
"""A rule that has every key."""
RULE: dict[str, Any] = {key: FULL[key] for key in ("uuid", "id", "name", "description", "detector")}
"""The same with no more than it needs."""


def file_refusal(text: bytes | str) -> str:
    with pytest.raises(RuleError) as caught:
        parse_rule(text if isinstance(text, bytes) else text.encode(), "r.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def dump(document: object = RULE) -> str:
    return yaml.safe_dump(document, sort_keys=False)


BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "r.yaml: empty: a rule file holds one rule"),
        ("# nothing but words\n", "r.yaml: empty: a rule file holds one rule"),
        (BOMB, "r.yaml:1: cannot be read as YAML: anchors and aliases are not allowed"),
        (
            "id: x\n<<: *b\n",
            "r.yaml:2: cannot be read as YAML: anchors and aliases are not allowed",
        ),
        ("id: x\n<<: {a: b}\n", "r.yaml:2: cannot be read as YAML: a key must be plain text"),
        ("id: x\n7: y\n", "r.yaml:2: cannot be read as YAML: a key must be plain text"),
        ("? [a, b]\n: c\n", "r.yaml:1: cannot be read as YAML: a key must be plain text"),
        ("id: x\nid: y\n", "r.yaml:2: cannot be read as YAML: the key 'id' stands there twice"),
        (
            "id: x\ndetector: {name: a, name: b}\n",
            "r.yaml:2: cannot be read as YAML: the key 'name' stands there twice",
        ),
        ("[" * 100_000, "r.yaml:1: cannot be read as YAML: more than 10 levels deep"),
        ("{a: " * 50_000, "r.yaml:1: cannot be read as YAML: more than 10 levels deep"),
        (
            "id: !!python/object/apply:os.system [id]\n",
            "r.yaml:1: cannot be read as YAML: the tag 'tag:yaml.org,2002:"
            "python/object/apply:os.system' is not allowed",
        ),
        (
            f"version: {'9' * 5000}\n",
            f"r.yaml:1: cannot be read as YAML: '{'9' * 60}' is neither text nor a plain"
            " decimal number (int); quote it if it is meant as text",
        ),
        (
            "version: 1:30\n",
            "r.yaml:1: cannot be read as YAML: '1:30' is neither text nor a plain"
            " decimal number (int); quote it if it is meant as text",
        ),
        (
            "max_alerts: 010\n",
            "r.yaml:1: cannot be read as YAML: '010' is neither text nor a plain"
            " decimal number (int); quote it if it is meant as text",
        ),
        (
            "threshold: .nan\n",
            "r.yaml:1: cannot be read as YAML: '.nan' is neither text nor a plain"
            " decimal number (float); quote it if it is meant as text",
        ),
        (
            "name: 2026-13-45\n",
            "r.yaml:1: cannot be read as YAML: '2026-13-45' is neither text nor a plain"
            " decimal number (timestamp); quote it if it is meant as text",
        ),
        ("name: !!bool maybe\n", "r.yaml:1: cannot be read as YAML: 'maybe' is neither text nor "),
        ("id: x\n---\nid: y\n", "r.yaml:2: cannot be read as YAML: but found another document"),
        ("id: x\n\tname: y\n", "r.yaml:2: cannot be read as YAML: "),
        ("id: [x\n", "r.yaml:2: cannot be read as YAML: "),
        ("id: x\x00\n", "r.yaml: cannot be read as YAML: special characters are not allowed"),
        (b"id: \xff\n", "r.yaml: not UTF-8 text, at byte 4"),
        (b"\x1f\x8b\x08\x00", "r.yaml: not UTF-8 text, at byte 1"),
        ("- id: x\n", "r.yaml:1: a list is not a rule: a mapping of "),
    ],
)
def test_a_file_that_is_no_rule(text: bytes | str, fault: str) -> None:
    refused = file_refusal(text)
    assert refused == fault if not fault.endswith(" ") else refused.startswith(fault)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(list(FULL)) | st.text(), inner),
)


def verdict(parse: Callable[..., object], document: object) -> str:
    """Empty where it is taken; the refusal otherwise; anything else is raised."""
    try:
        parse(document, Where("r.yaml") if parse == Rule.parse else "r.yaml")
    except RuleError as error:
        return str(error)
    return ""


@settings(deadline=None)
@given(ANYTHING)
def test_no_document_does_more_than_be_refused(document: Any) -> None:
    for each in (document, FULL | document if isinstance(document, dict) else RULE):
        refused = verdict(Rule.parse, each)
        assert len(refused.splitlines()) <= 1
        assert len(refused) < 1000


@settings(deadline=None)
@given(st.binary() | st.text().map(str.encode), st.integers(0, 9000), st.integers(0, 20))
def test_no_bytes_do_more_than_be_refused(noise: bytes, at: int, cut: int) -> None:
    text = dump(FULL).encode()
    for each in (noise, text[:at] + noise + text[at + cut :]):
        refused = verdict(parse_rule, each)
        assert len(refused.splitlines()) <= 1
        assert len(refused) < 1000


def test_the_line_is_that_of_the_key() -> None:
    text = dump(FULL).replace("threshold: 75", "# why\nthreshold: 500")
    line = text[: text.index("threshold:")].count("\n") + 1
    assert file_refusal(text) == f"r.yaml:{line}: threshold: 500 is not a number from 0 to 100"
    text = dump(FULL).replace("- user.name", "- user.nam")
    line = text[: text.index("- user.nam")].count("\n") + 1
    assert file_refusal(text).startswith(f"r.yaml:{line}: detector.partition_fields[1]: ")


def test_a_byte_order_mark_is_no_harm() -> None:
    assert parse_rule(b"\xef\xbb\xbf" + dump().encode(), "r.yaml")[0].id == RULE["id"]


def test_no_file_is_larger_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    text = dump().encode()
    path.write_bytes(text + b"#" * (FILE_LIMIT - len(text)))
    assert load_rules([path])[0].id == RULE["id"]
    path.write_bytes(text + b"#" * (FILE_LIMIT - len(text) + 1))
    with pytest.raises(RuleError) as caught:
        load_rules([path])
    assert str(caught.value) == f"{path}: larger than a rule file may be, 256,000 bytes"


def test_files_and_directories(tmp_path: Path) -> None:
    (tmp_path / "rules" / "deep").mkdir(parents=True)
    (tmp_path / "rules" / ".git").mkdir()
    texts = {}
    for n, name in enumerate(["rules/b.yaml", "rules/deep/a.yml", "rules/.git/c.yaml", "one.txt"]):
        texts[name] = RULE | {"id": f"r{n}", "name": f"R{n}", "uuid": RULE["uuid"][:-1] + str(n)}
        (tmp_path / name).write_text(dump(texts[name]))
    (tmp_path / "rules" / "README.md").write_text("not a rule")
    rules = load_rules([tmp_path / "one.txt", tmp_path / "rules"])
    assert [rule.id for rule in rules] == ["r3", "r0", "r1"]


def test_a_thousand_rules_in_a_directory(tmp_path: Path) -> None:
    for n in range(1000):
        uuid = RULE["uuid"][:-4] + f"{n:04}"
        (tmp_path / f"{n:04}.yaml").write_text(
            dump(RULE | {"id": f"r{n}", "name": f"R{n}", "uuid": uuid})
        )
    rules = load_rules([tmp_path])
    assert [rule.id for rule in rules] == [f"r{n}" for n in range(1000)]
    assert len(detectors(rules)) == 1


def test_a_place_without_rules(tmp_path: Path) -> None:
    cases = {
        tmp_path: f"{tmp_path}: no rule file (*.yaml) is there",
        tmp_path / "nowhere": f"{tmp_path / 'nowhere'}: no such file or directory",
        Path("/dev/zero"): "/dev/zero: no such file or directory",
        Path("a\x00b"): r"'a\x00b': no such file or directory",
    }
    for path, text in cases.items():
        with pytest.raises(RuleError) as caught:
            load_rules([path])
        assert str(caught.value) == text
    with pytest.raises(RuleError, match=r"^an empty list: no rule file \(\*\.yaml\) is there$"):
        load_rules([])


def test_a_file_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(dump())

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(RuleError) as caught:
        load_rules([path])
    assert str(caught.value) == f"{path}: cannot be read: Permission denied"
