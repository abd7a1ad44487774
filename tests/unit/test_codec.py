"""Avro: what is written comes back, what is foreign is refused, and every field says what it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from importlib import resources
from io import BytesIO
from types import NoneType
from typing import Any, get_args, get_type_hints

import fastavro
import msgspec
import pytest
from factory import ACCOUNT, anomaly, at, detector, event, packed, rule
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.seen import SEEN
from schemas.anomaly import ANOMALY, CANDIDATE
from schemas.change import CHANGE
from schemas.codec import Codec, SchemaError, load_schema
from schemas.counts import ROW, Row
from schemas.entity import EntityKey
from schemas.late import TOO_LATE
from schemas.selection import SELECTION
from schemas.slices import unpack
from schemas.state import ENTITY_STATE, RULE_STATE, SAVED_STATE, SCOPE_STATE, SavedState
from transforms.entity import Entity, restore
from transforms.history import History
from transforms.objects import DEAD_LETTER
from transforms.rarity import Elastic, Window
from transforms.score import ScoreFold

CODECS: list[Codec[Any]] = [
    *(CANDIDATE, ANOMALY, CHANGE, ROW, SELECTION, DEAD_LETTER, TOO_LATE),
    *(ENTITY_STATE, SCOPE_STATE, RULE_STATE, SAVED_STATE, SEEN),
]
NAMES = sorted(
    file.name.removesuffix(".avsc")
    for file in resources.files("schemas").joinpath("avro").iterdir()
)
by_codec = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.schema["name"])
steady = settings(deadline=None, derandomize=True, max_examples=60)


# Strategies from schemas


def values(schema: Any, named: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Everything that a schema allows."""
    if isinstance(schema, list):
        return st.one_of([values(part, named) for part in schema])
    if isinstance(schema, str):
        if schema.removeprefix("raretrail.") in named:
            return values(named[schema.removeprefix("raretrail.")], named)
        return PLAIN[schema]
    kind = schema["type"]
    if kind == "record":
        named[schema["name"].removeprefix("raretrail.")] = schema
        return st.fixed_dictionaries(
            {f["name"]: values(f["type"], named) for f in schema["fields"]}
        )
    if kind == "array":
        of_strings = isinstance(schema["items"], dict) and schema["items"].get("items") == "string"
        return st.lists(STREAM if of_strings else values(schema["items"], named), max_size=3)
    if kind == "map":
        return st.dictionaries(st.text(max_size=5), values(schema["values"], named), max_size=3)
    if kind == "enum":
        return st.sampled_from(schema["symbols"])
    return PLAIN[kind]


PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-62_135_596_800_000, 253_402_300_799_999),  # years 1 to 9999, in ms
    "double": st.floats(allow_nan=False),
    "string": st.text(max_size=8),
    "bytes": st.binary(max_size=8),
}
STREAM = st.lists(st.text(max_size=5), min_size=3, max_size=3)
"""The one list of lists: (user, person, network)."""


# Round trips


@by_codec
@steady
@given(data=st.data())
def test_every_schema_round_trips(codec: Codec[Any], data: st.DataObject) -> None:
    record = data.draw(values(codec.schema, {}))
    written = codec.write(record)
    assert codec.read(written) == record
    struct = codec.decode(written)
    assert codec.encode(struct) == written
    assert codec.decode(codec.encode(struct)) == struct


@by_codec
def test_structs_and_schemas_have_the_same_fields(codec: Codec[Any]) -> None:
    """A field that the schema does not know would be dropped without a word."""
    assert dict(pairs_of(codec._kind, load_schema(codec.name))) == {}


def pairs_of(kind: Any, schema: Any) -> Iterator[tuple[str, str]]:
    """Where a struct and its schema part, looking into lists, maps and optional values."""
    if isinstance(schema, list):
        schema = next(part for part in schema if part != "null")
        kind = next((part for part in get_args(kind) if part is not NoneType), kind)
    if isinstance(schema, dict) and schema["type"] == "array":
        yield from pairs_of(next(iter(get_args(kind)), Any), schema["items"])
    elif isinstance(schema, dict) and schema["type"] == "map":
        yield from pairs_of(get_args(kind)[1], schema["values"])
    elif isinstance(schema, dict) and schema["type"] == "record":
        ours, theirs = set(kind.__struct_fields__), {f["name"] for f in schema["fields"]}
        for name in ours ^ theirs:
            yield schema["name"], name
        hints = get_type_hints(kind)
        for field in schema["fields"]:
            if field["name"] in ours:
                yield from pairs_of(hints[field["name"]], field["type"])


@pytest.mark.parametrize("text", ["", "ä€😀", "\x00", "a" * 100_000])
def test_texts_of_all_kinds_come_back(text: str) -> None:
    row = Row(text, {text: 2**40})
    assert ROW.decode(ROW.encode(row)) == row


def test_files_hold_times_as_times_and_records_as_written() -> None:
    """`schema` is what Avro files are written with; a reader of them sees timestamps."""
    found = anomaly(rule(), 80.0, 1_900_000)
    file = BytesIO()
    fastavro.writer(file, ANOMALY.schema, [ANOMALY.read(ANOMALY.encode(found))])
    file.seek(0)
    (record,) = fastavro.reader(file)
    assert record["slice_start"].timestamp() * 1000 == at(1_900_000)
    assert record["first_seen"].isoformat() == "2024-03-09T16:00:00+00:00"
    assert record["score"] == 80.0


# Refusals


@by_codec
@pytest.mark.parametrize(
    "data",
    [b"", b"\xc3", b"\xc3\x01", b"{}", b"Obj\x01" + bytes(40), b"\xc3\x01" + bytes(30)],
    ids=["empty", "half a marker", "a marker", "JSON", "an Avro file", "another fingerprint"],
)
def test_foreign_bytes_are_refused_by_name(codec: Codec[Any], data: bytes) -> None:
    for read in (codec.read, codec.decode):
        with pytest.raises(SchemaError, match=f"^{codec.name}: "):
            read(data)


@by_codec
def test_bytes_of_another_schema_are_refused(codec: Codec[Any]) -> None:
    for other, value in ((ROW, Row("u", {"n": 1})), (SAVED_STATE, SavedState(b"k", b"s"))):
        data = other.encode(value)
        assert codec.wrote(data) is (other is codec)
        if other is not codec:
            with pytest.raises(SchemaError, match=codec.name):
                codec.decode(data)


def test_packed_slices_of_another_schema_are_refused() -> None:
    ((_, data),) = packed([event(at(1_900_000))], detector())
    assert list(unpack(data))
    for foreign in (b"", data[2:], data[:2] + bytes(8) + data[10:], ROW.encode(Row("u", {}))):
        with pytest.raises(SchemaError, match=r"^slices: "):
            list(unpack(foreign))


def test_a_changed_schema_has_another_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a version is: the same name with another field is refused, not misread."""
    changed = load_schema("row")
    changed["fields"].append({"name": "more", "type": "string", "doc": "Something new."})
    monkeypatch.setattr("schemas.codec.load_schema", lambda name: changed)
    newer = Codec("row", Row)
    monkeypatch.undo()
    data = newer.write({"unit": "u", "counts": {}, "more": "x"})
    with pytest.raises(SchemaError, match="row"):
        ROW.decode(data)


# Documentation


def fields_of(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field in a schema as it is in its file, with the path to it."""
    if isinstance(schema, list):
        for part in schema:
            yield from fields_of(part)
    elif isinstance(schema, dict):
        for field in schema.get("fields", ()):
            yield f"{schema['name']}.{field['name']}", field
        for key in ("fields", "type", "items", "values"):
            yield from fields_of(schema.get(key))


@pytest.mark.parametrize("name", NAMES)
def test_every_field_of_every_schema_says_what_it_is(name: str) -> None:
    text = resources.files("schemas").joinpath("avro", f"{name}.avsc").read_text("utf-8")
    schema = json.loads(text)
    assert schema["namespace"] == "raretrail"
    assert "Version " in schema["doc"]
    found = list(fields_of(schema))
    assert found
    for path, field in found:
        assert field.get("doc", "").strip().endswith((".", ")")), path
    assert load_schema(name)["name"].removeprefix("raretrail.").lower() == name


# An entity's state


slices = st.lists(
    st.tuples(
        st.integers(1, 400),
        st.sets(st.sampled_from("abcdefgh"), min_size=1),
        st.sets(st.sampled_from(["London", "Lagos", "Oslo"])),
        st.sets(st.sampled_from(["aws-cli", "Boto3"])),
    ),
    min_size=1,
    max_size=60,
)


def learned(history: History, taught: list[tuple[int, set[str], set[str], set[str]]]) -> History:
    slice_ = max(history.latest, 1_900_000)
    for after, *sets in taught:
        slice_ += after
        history.learn(slice_, *sets)
    return history


@steady
@given(slices, slices)
def test_a_history_goes_on_from_its_state_as_if_nothing_had_been(
    before: list[Any], after: list[Any]
) -> None:
    """Bit for bit: its numbers, its profile, and what both scorers make of it later."""
    original = learned(History(), before)
    copy = remembered(original)
    for continued in (lambda history: history, partial(learned, taught=after)):
        one, other = continued(original), continued(copy)
        assert saved(one) == saved(other)
        assert one.masses.total == other.masses.total
        assert one.masses.all().tobytes() == other.masses.all().tobytes()
        assert one.profile() == other.profile()
        for scorer in (Window(), Elastic()):
            assert scorer.judge(one, ["a", "h"]) == scorer.judge(other, ["a", "h"])
        assert Window().judge(one, ["new"]) == Window().judge(other, ["new"])
        for action in "ahz":
            assert one.actions.seen(action) == other.actions.seen(action)


def test_a_history_of_nothing_round_trips() -> None:
    """As of an entity of which all came too late to be learned."""
    empty = remembered(History())
    assert saved(empty) == saved(History())
    assert empty.profile() == History().profile()
    assert msgspec.json.encode(empty.profile())


def unknown() -> Entity:
    key = EntityKey(detector().key, "organisation", (ACCOUNT, "alice"))
    return ScoreFold((detector(),)).begin(key.encode())


def saved(history: History) -> bytes:
    """The state of an entity with this history, of which something came too late, too."""
    entity = unknown()
    entity.history, entity.strays = history, {"TooLate": 2_000_000}
    data = entity.save({}, 2_000_001)
    assert data is not None
    return data


def remembered(history: History) -> History:
    """A history after its entity was saved and loaded."""
    entity, later, done = restore(unknown(), saved(history))
    assert (later, done, entity.strays) == ([], 2_000_001, {"TooLate": 2_000_000})
    return entity.history


def test_an_entity_of_which_nothing_is_known_is_not_saved() -> None:
    assert unknown().save({}, 5) is None
