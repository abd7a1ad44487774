"""A run as it is asked for: its options from the command line and from YAML, checked."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.config import config_tokens
from pipeline.errors import Parser, UsageError, underscored
from pipeline.flags import RUN, WATCH, Command, RunOptions, parser_of
from pipeline.sources import STDIN
from schemas.text import moment, written
from schemas.words import iso

_SECRET: Final = re.compile(r"secret|token|password|credential|key|connection_string|oauth")
_HIDDEN: Final = "(hidden)"


@dataclass(frozen=True)
class RunSettings:
    """A run as it was asked for, checked as far as that needs no reading of files."""

    inputs: tuple[str, ...]
    output: Path
    geoip_database: Path | None
    rules: tuple[Path, ...]
    enable: tuple[str, ...]
    """Ids of rules to apply though they are off."""
    disable: tuple[str, ...]
    incidents: Path | None
    scorer: str | None
    identity: str
    start: int | None
    """Milliseconds since the epoch."""
    until: int | None
    step: int | None
    """Days; 0: in one; None: as the input asks for."""
    incremental: bool
    as_live: bool
    snapshot_in: Path | None
    snapshot_out: Path | None
    forget_after: int
    """Days."""
    beam: PipelineOptions

    @property
    def arrivals(self) -> bool:
        """Whether it counts when an object was delivered."""
        return self.incremental or self.as_live

    def document(self) -> dict[str, Any]:
        """The settings for run.json: everything that was asked for, ours and Beam's."""
        return {
            "inputs": [written(name) for name in self.inputs],
            "output": str(self.output),
            "geoip_database": str(self.geoip_database) if self.geoip_database else None,
            "rules": [str(path) for path in self.rules],
            "enable": list(self.enable),
            "disable": list(self.disable),
            "incidents": str(self.incidents) if self.incidents else None,
            "scorer": self.scorer,
            "identity": self.identity,
            "from": None if self.start is None else iso(self.start),
            "until": None if self.until is None else iso(self.until),
            "step": self.step,
            "incremental": self.incremental,
            "as_live": self.as_live,
            "snapshot_in": str(self.snapshot_in) if self.snapshot_in else None,
            "snapshot_out": str(self.snapshot_out) if self.snapshot_out else None,
            "forget_after": self.forget_after,
            "beam": {
                key: _HIDDEN if _SECRET.search(f"{key}={value}".lower()) else written(str(value))
                for key, value in self.beam.display_data().items()
            },
        }


def parse_run(argv: Sequence[str]) -> RunSettings:
    """The settings that a command line of `run` asks for. Raises UsageError of one line."""
    return _parse(argv, RUN)


def parse_watch(argv: Sequence[str]) -> RunSettings:
    """The settings of each round that a command line of `watch` asks for, in the same way."""
    return _parse(argv, WATCH)


def _parse(argv: Sequence[str], command: Command) -> RunSettings:
    parser = parser_of(command)
    tokens = [underscored(token) for token in argv]
    options, rest = parser.parse_known_intermixed_args(tokens)
    if options.config:
        only = parser_of(command, default=argparse.SUPPRESS)
        given, _ = only.parse_known_intermixed_args(tokens)
        known = {name for name, value in vars(given).items() if value != []}
        tokens = [*config_tokens(Path(options.config), parser, known), *tokens]
        options, rest = parser.parse_known_intermixed_args(tokens)
    parser.refuse(rest)
    for flag, why in command.lacks.items():
        if any(token.partition("=")[0] == flag for token in tokens):
            raise UsageError(f"{flag}: {why}")
    options.incremental |= command is WATCH
    if not options.inputs:
        raise UsageError("INPUT: none given; name files, folders or globs of CloudTrail logs")
    if options.output and written(options.output) != options.output:
        raise UsageError(f"--output {written(options.output)}: must be a name in UTF-8")
    if not options.output:
        raise UsageError("--output: none given; name a new folder for the results")
    start, until = _time("--from", options.from_time), _time("--until", options.until_time)
    if start is not None and until is not None and start >= until:
        raise UsageError(f"--until {options.until_time}: not after --from {options.from_time}")
    _check_together(options)
    return RunSettings(
        inputs=tuple(options.inputs),
        output=Path(options.output).absolute(),
        geoip_database=Path(options.geoip_database).absolute() if options.geoip_database else None,
        rules=tuple(Path(name) for name in options.rules or ()),
        enable=tuple(options.enable or ()),
        disable=tuple(options.disable or ()),
        incidents=Path(options.incidents).absolute() if options.incidents else None,
        scorer=options.scorer,
        identity=options.identity,
        start=start,
        until=until,
        step=_step(options.step),
        incremental=options.incremental,
        as_live=options.as_live,
        snapshot_in=Path(options.snapshot_in).absolute() if options.snapshot_in else None,
        snapshot_out=Path(options.snapshot_out).absolute() if options.snapshot_out else None,
        forget_after=_days("--forget_after", options.forget_after),
        beam=_beam_options(tokens, parser),
    )


def _check_together(options: argparse.Namespace) -> None:
    """Make sure that the options can be meant together."""
    if options.snapshot_out and not options.until_time:
        raise UsageError("--snapshot_out: needs --until TIME, up to which the state is to be")
    if not options.incremental:
        return
    for flag, value, fix in (
        ("--from", options.from_time, "leave it out, or begin with --snapshot_in"),
        ("--snapshot_out", options.snapshot_out, "its state is in OUT/snapshot"),
        ("--until", options.until_time, "leave it out"),
        ("--as_live", options.as_live, "leave it out"),
    ):
        if value:
            raise UsageError(f"{flag}: not together with --incremental; {fix}")
    if STDIN in options.inputs:
        raise UsageError("INPUT -: cannot be looked at again later; name files or folders")


def _step(text: str | None) -> int | None:
    if text is None:
        return None
    return 0 if text == "none" else _days("--step", text, " or none")


def _days(flag: str, text: str, other: str = "") -> int:
    found = re.fullmatch(r"(\d{1,5})d", str(text))
    if found is None or int(found[1]) < 1:
        near = f"{text}d" if re.fullmatch(r"[1-9]\d{0,4}", str(text)) else "1d"
        raise UsageError(f"{flag} {text}: not a number of days; write it as {near}{other}")
    return int(found[1])


def _time(flag: str, text: str | None) -> int | None:
    try:
        return None if text is None else moment(text)
    except ValueError as error:
        raise UsageError(f"{flag} {text}: {error}") from None


def _beam_options(tokens: Sequence[str], parser: argparse.ArgumentParser) -> PipelineOptions:
    """What was given for Beam, as its own options object, which reads it in its own way."""
    ours = Parser(add_help=False)
    RunOptions._add_argparse_args(ours)
    actions = {flag: action for action in parser._actions for flag in action.option_strings}
    flags: list[str] = []
    rest = iter(tokens)
    for token in rest:
        name, equals, _ = token.partition("=")
        if name not in actions:
            continue
        takes_value = not equals and actions[name].nargs != 0
        whole = f"{token}={next(rest)}" if takes_value else token
        if name not in ours._option_string_actions:
            flags.append(whole)
    return PipelineOptions(flags)
