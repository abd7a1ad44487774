"""Snapshots: the state of all keyed steps at a horizon, in a folder that is whole or not there.

manifest.json    horizon, detectors, and each file with its size and checksum
STEP/*.avro      SavedState records: score, weigh, select
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import msgspec

from pipeline.errors import UsageError
from pipeline.files import UNFINISHED, read_json, write_json, write_whole
from pipeline.lock import LOCK
from schemas.codec import Codec
from schemas.rule import Rule, detectors
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
_MANIFEST: Final = "manifest.json"


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


def fingerprints(
    rules: Sequence[Rule], identity: str, database: str | None
) -> dict[str, dict[str, Any]]:
    """By a detector's name all that its state depends on; `database` is the kind of the cities'."""
    told = {}
    for detector in detectors(rules):
        told[detector.name] = {
            **detector.fingerprint(),
            "identity": identity,
            "city_database": database if detector.needs_cities else None,
        }
    return told


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
    write_json(folder / _MANIFEST, msgspec.to_builtins(manifest))


def open_snapshot(folder: Path, flag: str) -> Manifest:
    """The manifest of a snapshot that is whole. Raises UsageError that says what is wrong."""

    def refuse(fault: str) -> UsageError:
        return UsageError(f"{flag} {folder}: {fault}")

    if not folder.is_dir():
        raise refuse("no such folder; name one that --snapshot_out wrote")
    try:
        document = read_json(folder / _MANIFEST)
        found = document.get("format") if isinstance(document, dict) else None
        if found != FORMAT:
            raise refuse(f"it has format {found}, this version reads {FORMAT}; make it anew")
        manifest = msgspec.convert(document, Manifest)
        _ = manifest.firing
    except FileNotFoundError:
        raise refuse("no snapshot (it has no manifest.json); name one that is whole") from None
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise refuse(f"its manifest.json cannot be read ({error}); make it anew") from None
    for step, codec in STEPS.items():
        if manifest.schemas.get(step) != codec.fingerprint:
            raise refuse(f"the state of its step {step} is of another version; make it anew")
    for entry in manifest.files:
        path = folder / entry.name
        try:
            with path.open("rb") as file:
                sound = file_digest(file, "sha256").hexdigest() == entry.sha256
        except OSError as error:
            raise refuse(f"{entry.name} cannot be read ({error.strerror}); make it anew") from None
        if not sound:
            size = path.stat().st_size
            fault = f"has {size:,} of {entry.bytes:,} bytes" if size != entry.bytes else "changed"
            raise refuse(f"{entry.name} is damaged ({fault}); make it anew")
    return manifest


def check_fits(
    manifest: Manifest, told: Mapping[str, dict[str, Any]], rules: Collection[str], flag: str
) -> tuple[str, ...]:
    """Make sure that detectors can go on with a snapshot; what to tell of those that are new, and
    of rules that are gone. `rules` are the uuids of those that there are.

    Raises UsageError that names what differs.
    """
    for name, before in manifest.detectors.items():
        now = told.get(name)
        if now is None:
            hint = " (it needs --geoip_database)" if before.get("city_database") else ""
            fault = f"it holds the detector {name}, which this run does not have{hint}"
            raise UsageError(f"{flag}: {fault}; its state would be lost")
        for key in sorted({*before, *now}):
            if before.get(key) != now.get(key):
                fault = f"its detector {name} has {key} {before.get(key)!r}, not {now.get(key)!r}"
                raise UsageError(f"{flag}: {fault}; start without the snapshot, or change it back")
    cold = [
        f"The detector {name} is not in the snapshot: it starts without a history."
        for name in told
        if name not in manifest.detectors
    ]
    gone = [
        f"The rule {name} is in the snapshot and not in this run: what waits for it is left out."
        for uuid, name in manifest.rules.items()
        if uuid not in rules
    ]
    return (*cold, *gone)


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
    return [entry["name"] for entry in read_json(folder / _MANIFEST)["files"]]


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
    manifest, known = folder / _MANIFEST, {*STEPS, _MANIFEST, LOCK}
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
    if (new / _MANIFEST).exists():
        for path in sorted(new.glob("*/*.avro")):
            target = place / path.relative_to(new)
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished = target.with_name(target.name + UNFINISHED)
            try:
                shutil.copy2(path, unfinished)
                unfinished.replace(target)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
        place.mkdir(parents=True, exist_ok=True)
        write_whole(place / _MANIFEST, [(new / _MANIFEST).read_bytes()])  # perhaps another disk
        (new / _MANIFEST).unlink()
    listed = _listed(place)
    for step in STEPS:
        for ending in (".avro", f".avro{UNFINISHED}"):
            for path in place.glob(f"{step}/*{ending}"):
                if str(path.relative_to(place)) not in listed:
                    path.unlink()
