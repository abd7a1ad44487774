"""The options of a run: ours and every one of Beam's, from the command line and from YAML."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.config import config_tokens
from pipeline.errors import Parser, UsageError, nearest, underscored
from pipeline.sources import STDIN
from schemas.rule import SCORERS
from schemas.text import written
from schemas.words import iso
from transforms.identify import POLICIES

_SECRET: Final = re.compile(r"secret|token|password|credential|key|connection_string|oauth")
_HIDDEN: Final = "(hidden)"


class RunOptions(PipelineOptions):  # type: ignore[misc]
    """raretrail's own options; their names are an API."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--output", metavar="OUT", help="folder for the results; new or empty")
        add("--geoip_database", metavar="MMDB", help="city database in MaxMind's format")
        add(
            "--rules",
            action="append",
            metavar="FILE",
            help="rule file or folder of them, instead of ours; may be repeated",
        )
        for switch, what in (("enable", "apply a rule that is off"), ("disable", "leave one out")):
            add(
                f"--{switch}",
                action="append",
                metavar="RULE",
                help=f"{what}, by its id; may be repeated",
            )
        add(
            "--incidents",
            metavar="YAML",
            help="file of confirmed incidents (entity, from, until): what it names is judged, and "
            "neither learned nor counted as usual",
        )
        add(
            "--scorer",
            choices=SCORERS,
            help="judge all rules by this scorer: contrast (that of our rules), window or elastic",
        )
        add(
            "--identity",
            choices=POLICIES,
            default=POLICIES[0],
            help="who a user is: the role (default), its session, the principal id or issuer ARN",
        )
        add(
            "--from",
            dest="from_time",
            metavar="TIME",
            help="first event time, UTC, as 2026-03-02; what is earlier is not learned either",
        )
        add(
            "--until",
            dest="until_time",
            metavar="TIME",
            help="event time to stop before; with "
            "--snapshot_out what is later waits in the snapshot",
        )
        add(
            "--step",
            metavar="DAYS",
            help="judge this many folder dates at a time, as 1d (the default above 7 days of "
            "input), or none: memory is bounded by the step, and a run that was stopped goes on",
        )
        add(
            "--incremental",
            action="store_true",
            help="read what is new since the last run in OUT, judge up to 15 minutes ago, and end",
        )
        add(
            "--as_live",
            action="store_true",
            help="let events become known when their objects were delivered, as a live run does",
        )
        add("--snapshot_in", metavar="DIR", help="begin with the state that a run left there")
        add(
            "--snapshot_out",
            metavar="DIR",
            help="leave the state there; needs --until, up to which firings are done",
        )
        add(
            "--forget_after",
            metavar="DAYS",
            default="180d",
            help="forget users and cities of which nothing was learned for so long (180d)",
        )
        add("--config", metavar="YAML", help="file that holds any of these options")


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


def parse_run(argv: Sequence[str], prog: str = "raretrail run") -> RunSettings:
    """The settings that a command line asks for. Raises UsageError of one line."""
    parser = _parser(prog)
    tokens = [underscored(token) for token in argv]
    options, rest = parser.parse_known_intermixed_args(tokens)
    if options.config:
        given, _ = _parser(prog, default=argparse.SUPPRESS).parse_known_intermixed_args(tokens)
        known = {name for name, value in vars(given).items() if value != []}
        tokens = [*config_tokens(Path(options.config), parser, known), *tokens]
        options, rest = parser.parse_known_intermixed_args(tokens)
    for token in rest:
        name = token.partition("=")[0]
        raise UsageError(f"option {name}: no such option{nearest(name, _flags(parser))}")
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
    for flag, value in (
        ("--from", options.from_time),
        ("--snapshot_out", options.snapshot_out),
        ("--until", options.until_time),
        ("--as_live", options.as_live),
    ):
        if value:
            kept = "; its state is in OUT/snapshot" if flag == "--snapshot_out" else ""
            raise UsageError(f"{flag}: not together with --incremental{kept}")
    if STDIN in options.inputs:
        raise UsageError("input -: not together with --incremental; name files or folders")


def _step(text: str | None) -> int | None:
    if text is None:
        return None
    return 0 if text == "none" else _days("--step", text, " or none")


def _days(flag: str, text: str, other: str = "") -> int:
    found = re.fullmatch(r"(\d{1,5})d", str(text))
    if found is None or int(found[1]) < 1:
        raise UsageError(f"{flag} {text}: not a number of days; write it as 1d{other}")
    return int(found[1])


def _parser(prog: str, default: str | None = None) -> Parser:
    """A parser of all options. Beam's are accepted, not listed.

    With argparse.SUPPRESS for a default, only what was given is found.
    """
    parser = Parser(
        prog=prog,
        allow_abbrev=False,
        description="Find unusual API calls in CloudTrail logs.",
        epilog="Every option of Apache Beam is accepted too, such as --direct_num_workers 2. "
        "Hyphens in names are as good as underscores.",
    )
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help="file, folder, glob, or -")
    RunOptions._add_argparse_args(parser)
    ours = {action.dest for action in parser._actions}
    for kind in PipelineOptions.__subclasses__():
        if kind is not RunOptions and kind.__module__.startswith("apache_beam"):
            kind._add_argparse_args(parser)
    for action in parser._actions:
        if action.dest not in ours:
            action.help = argparse.SUPPRESS
        if default is not None and action.dest != "inputs":
            action.default = default
    return parser


def _flags(parser: argparse.ArgumentParser) -> list[str]:
    return [flag for action in parser._actions for flag in action.option_strings]


def _time(flag: str, text: str | None) -> int | None:
    """A date or time in ISO 8601, UTC where it names no zone, in ms since the epoch."""
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{flag} {text}: not a time; write it as 2026-03-02 or 2026-03-02T14:30:00Z"
        ) from None
    zoned = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return int(zoned.timestamp() * 1000)


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
