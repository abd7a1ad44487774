"""The flags of `run` and `watch`, ours and every one of Beam's, and their help."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.errors import Parser
from schemas.rule import SCORERS
from transforms.identify import POLICIES

_BEAM: Final = """\
Every option of Apache Beam is accepted too, such as --direct_num_workers 2.
Hyphens in names are as good as underscores."""


@dataclass(frozen=True)
class Command:
    """A command that runs the job."""

    name: str
    description: str
    statuses: str
    """Its exit statuses, in words."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """Flags of a run that it does not have → why, and what to do."""


RUN: Final = Command(
    "raretrail run",
    "Find unusual API calls in CloudTrail logs.",
    """\
exit status:
  0    done, with alerts or without; or done before, and here is the report
  1    failed, or the accounting does not close; what was there before is kept
  2    refused before anything was done
  3    done, but nothing was judged: no API call was found in what was read
  130  ended by Ctrl-C or SIGTERM""",
)
WATCH: Final = Command(
    "raretrail watch",
    "Find unusual API calls in CloudTrail logs as they come: a round when it is started and at "
    "each quarter of an hour reads what is new since the last one and tells of new alerts. Ctrl-C "
    "ends it; the same command goes on.",
    """\
exit status:
  1    a round failed, or the accounting does not close; what was there before is kept
  2    refused
  130  ended by Ctrl-C, the usual end""",
    {
        "--incremental": "watch is that already; leave it out",
        "--as_live": "watch is live already; leave it out",
        "--from": "watch reads all that is new; leave it out, or begin with --snapshot_in",
        "--snapshot_out": "watch keeps its state in OUT/snapshot; leave it out",
        "--until": "watch goes on until Ctrl-C; leave it out",
    },
)


class RunOptions(PipelineOptions):  # type: ignore[misc]
    """raretrail's own options; their names are an API."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--output",
            metavar="OUT",
            help="folder for the results: new, empty, or that of the same command, which goes on",
        )
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


def parser_of(command: Command, default: str | None = None) -> Parser:
    """A parser of all options. Beam's, and those that a command lacks, are not listed.

    With argparse.SUPPRESS for a default, only what was given is found.
    """
    parser = Parser(
        prog=command.name,
        allow_abbrev=False,
        description=command.description,
        epilog=f"{command.statuses}\n\n{_BEAM}",
        formatter_class=_Help,
    )
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help=_INPUT[command.name])
    RunOptions._add_argparse_args(parser)
    ours = {action.dest for action in parser._actions}
    for kind in PipelineOptions.__subclasses__():
        if kind is not RunOptions and kind.__module__.startswith("apache_beam"):
            kind._add_argparse_args(parser)
    for action in parser._actions:
        if action.dest not in ours or command.lacks.keys() & set(action.option_strings):
            action.help = argparse.SUPPRESS
        if default is not None and action.dest != "inputs":
            action.default = default
    return parser


_INPUT: Final = {
    RUN.name: "file, folder, glob, or - for standard input",
    WATCH.name: "file, folder or glob",
}


class _Help(argparse.RawDescriptionHelpFormatter):
    """Wraps the description, and leaves the epilog as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)
