"""Snapshots: the state of all keyed steps at a horizon, in a folder that is whole or not there.

manifest.json    horizon, detectors, and each file with its size and checksum
STEP/*.avro      SavedState records: score, weigh, select
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import msgspec

from pipeline.errors import UsageError
from pipeline.files import UNFINISHED, move_whole, read_json, write_json
from pipeline.lock import LOCK
from schemas.codec import Codec
from schemas.rule import Rule
from schemas.state import ENTITY_STATE, RULE_STATE, SAVED_STATE, SCOPE_STATE, SavedState
from schemas.words import iso
from transforms.firing import last_firing, time_of

FORMAT: Final = 0
"""Version of the folder; the records in it carry their own."""
STEPS: Final[dict[str, Codec[Any]]] = {
    "score": ENTITY_STATE,
    "weigh": SCOPE_STATE,
    "select": RULE_STATE,
}
MANIFEST: Final = "manifest.json"


class FileEntry(msgspec.Struct, frozen=True):
    """A file of a snapshot."""

    name: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a snapshot says of itself."""

    format: int
    horizon: str
    """T of the last firing that was done."""
    schemas: dict[str, str]
    """Step → fingerprint of the schema of its states."""
    detectors: dict[str, dict[str, Any]]
    """Name → all that makes it what it is."""
    rules: dict[str, str]
    """uuid → id of those whose waiting lists are there."""
    held: dict[str, int]
    """Counts of what is remembered."""
    files: list[FileEntry]

    @property
    def firing(self) -> int:
        """The horizon by number."""
        return last_firing(round(datetime.fromisoformat(self.horizon).timestamp() * 1000))


def seal(
    folder: Path,
    horizon: int,
    told: Mapping[str, dict[str, Any]],
    rules: Sequence[Rule],
    held: Mapping[str, int],
) -> None:
    """Make a folder of state files a snapshot, by writing its manifest."""
    files = []
    for path in sorted(folder.glob("*/*.avro")):
        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        files.append(FileEntry(str(path.relative_to(folder)), path.stat().st_size, digest))
    folder.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(
        format=FORMAT,
        horizon=iso(time_of(horizon)),
        schemas={step: codec.fingerprint for step, codec in STEPS.items()},
        detectors=dict(told),
        rules={rule.uuid: rule.id for rule in rules},
        held=dict(held),
        files=files,
    )
    write_json(folder / MANIFEST, msgspec.to_builtins(manifest))


def open_snapshot(folder: Path, flag: str) -> Manifest:
    """The manifest of a snapshot that is whole. Raises UsageError that says what is wrong."""
    manifest = _manifest(folder, flag)
    for entry in manifest.files:
        path, fault = folder / entry.name, ""
        try:
            with path.open("rb") as file:
                sound = file_digest(file, "sha256").hexdigest() == entry.sha256
            size = path.stat().st_size
            if not sound:
                told = f"has {size:,} of {entry.bytes:,} bytes"
                fault = f"is damaged ({told if size != entry.bytes else 'changed'})"
        except OSError as error:
            fault = f"cannot be read ({error.strerror})"
        if fault and _manifest(folder, flag) != manifest:  # another run has just replaced it
            return open_snapshot(folder, flag)
        if fault:
            raise UsageError(f"{flag} {folder}: {entry.name} {fault}; make it anew")
    return manifest


def _manifest(folder: Path, flag: str) -> Manifest:
    """What a snapshot says of itself, if this version can read it."""

    def refuse(fault: str) -> UsageError:
        return UsageError(f"{flag} {folder}: {fault}")

    if not folder.is_dir():
        raise refuse("no such folder; name one that --snapshot_out wrote")
    try:
        document = read_json(folder / MANIFEST)
        found = document.get("format") if isinstance(document, dict) else None
        if found != FORMAT:
            raise refuse(f"it has format {found}, this version reads {FORMAT}; make it anew")
        manifest = msgspec.convert(document, Manifest)
        _ = manifest.firing
    except FileNotFoundError:
        raise refuse("no snapshot (it has no manifest.json); name one that is whole") from None
    except UsageError:
        raise
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise refuse(f"its manifest.json cannot be read ({error}); make it anew") from None
    for step, codec in STEPS.items():
        if manifest.schemas.get(step) != codec.fingerprint:
            raise refuse(f"the state of its step {step} is of another version; make it anew")
    return manifest


def take(folder: Path, manifest: Manifest, place: Path) -> None:
    """Put a snapshot, as it was when it was opened, into a place of one's own: by links, or copies
    where there can be none. Another run may replace it meanwhile: then its files are taken away.

    Raises UsageError if that has happened already.
    """
    for entry in manifest.files:
        source, target = folder / entry.name, place / entry.name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except FileNotFoundError:
            fault = "another run has replaced it since this one began"
            raise UsageError(f"--snapshot_in {folder}: {fault}; start again") from None
        except OSError:
            shutil.copyfile(source, target)
    write_json(place / MANIFEST, msgspec.to_builtins(manifest))


@dataclass(eq=False)
class ReadState(beam.PTransform):  # type: ignore[misc]
    """Pipeline → by step: KV[key, saved state], stamped with the beginning."""

    folder: Path
    rules: frozenset[str]
    """uuids of the rules that there are: what waits for others is left out."""

    def expand(self, pipeline: Any) -> Any:
        """See the class."""
        names = [(step, str(self.folder / name)) for step, name in self._files()]
        files = beam.Create(names, reshuffle=False)
        return pipeline | files | "Read" >> beam.ParDo(_ReadState(self.rules)).with_outputs(*STEPS)

    def _files(self) -> list[tuple[str, str]]:
        return [(name.partition("/")[0], name) for name in _listed(self.folder)]


class _ReadState(beam.DoFn):  # type: ignore[misc]
    def __init__(self, rules: frozenset[str]) -> None:
        self._rules = rules

    def process(self, file: tuple[str, str]) -> Iterator[Any]:
        step, name = file
        for saved in saved_states(Path(name)):
            if step == "select" and saved.key.decode() not in self._rules:
                continue
            yield beam.pvalue.TaggedOutput(step, (saved.key, saved.state))


def _listed(folder: Path) -> list[str]:
    """The names of a snapshot's files, by its manifest."""
    return [entry["name"] for entry in read_json(folder / MANIFEST)["files"]]


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of a snapshot by step."""
    return {
        step: sum(path.stat().st_size for path in (folder / step).glob("*.avro")) for step in STEPS
    }


def saved_states(path: Path) -> Iterator[SavedState]:
    """The states in one file of a snapshot."""
    with path.open("rb") as file:
        yield from SAVED_STATE.records(file)


def may_hold(folder: Path) -> bool:
    """Whether a snapshot may be put into a folder: there is one, a part of one, or nothing."""
    manifest, known = folder / MANIFEST, {*STEPS, MANIFEST, LOCK}
    if manifest.exists():
        try:
            document = read_json(manifest)
        except (OSError, msgspec.MsgspecError):
            return False
        return isinstance(document, dict) and {"format", "horizon", "files"} <= set(document)
    ours = (".avro", f".avro{UNFINISHED}")
    return all(
        path.name in known
        and (path.name not in STEPS or all(one.name.endswith(ours) for one in path.iterdir()))
        for path in folder.iterdir()
    )


def publish(new: Path, place: Path) -> None:
    """Put a snapshot where another may be. Whoever looks finds the one or the other, whole: the
    manifest is replaced at once, files have names of their content. May be done again.
    """
    if (new / MANIFEST).exists():
        for path in sorted(new.glob("*/*.avro")):
            move_whole(path, place / path.relative_to(new))
        move_whole(new / MANIFEST, place / MANIFEST)
    listed = _listed(place)
    for step in STEPS:
        for ending in (".avro", f".avro{UNFINISHED}"):
            for path in place.glob(f"{step}/*{ending}"):
                if str(path.relative_to(place)) not in listed:
                    path.unlink()
