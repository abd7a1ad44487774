"""The options of a run: ours, Beam's, and a YAML file that holds them."""

import argparse
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

from pipeline.errors import UsageError, nearest
from pipeline.flags import RunOptions
from pipeline.options import RunSettings, parse_run

GIVEN = ("logs", "--output", "out")
MARCH_2 = 1_772_409_600_000
"""2026-03-02T00:00:00Z"""


def parsed(*arguments: str) -> RunSettings:
    return parse_run([*GIVEN, *arguments])


def refused(*arguments: str) -> str:
    with pytest.raises(UsageError) as refusal:
        parse_run(list(arguments))
    return str(refusal.value)


@pytest.fixture
def config(tmp_path: Path) -> Any:
    """Writes a YAML file and gives the option that names it."""

    def write(text: str) -> str:
        path = tmp_path / "run.yaml"
        path.write_text(text, "utf-8")
        return f"--config={path}"

    return write


# Ours


def test_the_least_that_can_be_said() -> None:
    settings = parsed()
    assert settings.inputs == ("logs",)
    assert settings.output == Path.cwd() / "out"
    assert settings.geoip_database is settings.scorer is settings.start is settings.until is None
    assert settings.rules == ()
    assert settings.identity == "role"
    assert settings.beam.get_all_options(drop_default=True) == {}


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--geoip_database", "x.mmdb"], "geoip_database", Path.cwd() / "x.mmdb"),
        (["--geoip-database=x-y_z.mmdb"], "geoip_database", Path.cwd() / "x-y_z.mmdb"),
        (["--rules", "a.yaml"], "rules", (Path("a.yaml"),)),
        (["--rules=a", "--rules", "b-c"], "rules", (Path("a"), Path("b-c"))),
        (["--scorer", "window"], "scorer", "window"),
        (["--scorer=elastic"], "scorer", "elastic"),
        (["--scorer", "window", "--scorer", "elastic"], "scorer", "elastic"),
        *((["--identity", n], "identity", n) for n in ("role", "session", "principal", "issuer")),
        (["--output", "other"], "output", Path.cwd() / "other"),
        (["--output", "/tmp/other"], "output", Path("/tmp/other")),
        (["more", "--scorer", "window", "still"], "inputs", ("logs", "more", "still")),
        (["-"], "inputs", ("logs", "-")),
        (["--", "-odd"], "inputs", ("logs", "-odd")),
        (["--from", "2026-03-02"], "start", MARCH_2),
        (["--from=2026-03-02T14:30:00Z"], "start", MARCH_2 + 52_200_000),
        (["--until", "2026-03-02T14:30:00"], "until", MARCH_2 + 52_200_000),
        (["--until", "2026-03-02 14:30"], "until", MARCH_2 + 52_200_000),
        (["--until", "2026-03-02T14:30:00+02:00"], "until", MARCH_2 + 45_000_000),
        (["--until", "2026-03-02T00:00:00-05:30"], "until", MARCH_2 + 19_800_000),
        (["--until", "2026-03-02T00:00:00.001Z"], "until", MARCH_2 + 1),
        (["--until", "2026-03-02T23:59:59.999Z"], "until", MARCH_2 + 86_399_999),
        (["--from", "2026-03-02", "--until", "2026-03-02T00:00:00.001"], "until", MARCH_2 + 1),
    ],
)
def test_our_options(arguments: list[str], field: str, value: object) -> None:
    settings = parsed(*arguments)
    assert getattr(settings, field) == value
    assert settings.beam.get_all_options(drop_default=True) == {}
    assert settings.document()["inputs"] == list(settings.inputs)


def test_no_millisecond_of_a_time_is_lost() -> None:
    for ms in range(0, 1000, 37):
        assert parsed("--from", f"2026-03-02T00:00:00.{ms:03}").start == MARCH_2 + ms


def test_run_json_says_what_was_asked_for() -> None:
    settings = parsed("--rules", "r.yaml", "--scorer", "elastic", "--from", "2026-03-02")
    document = settings.document()
    assert document["inputs"] == ["logs"]
    assert document["output"] == str(Path.cwd() / "out")
    assert document["rules"] == ["r.yaml"]
    assert document["scorer"] == "elastic"
    assert (document["from"], document["until"]) == ("2026-03-02T00:00:00.000Z", None)
    assert parsed("--direct_num_workers=2").document()["beam"] == {"direct_num_workers": "2"}


@pytest.mark.parametrize(
    "option", ["s3_secret_access_key", "s3_session_token", "azure_connection_string"]
)
def test_run_json_keeps_no_secret(option: str) -> None:
    document = parsed(f"--{option}=hush").document()
    assert option in document["beam"]
    assert "hush" not in str(document)


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse_run(["--help"])
    assert end.value.code == 0
    told = capsys.readouterr().out
    for option in ("--output", "--geoip_database", "--rules", "--scorer", "--identity", "--from"):
        assert option in told
    assert "--s3_" not in told


# Beam's


@pytest.mark.parametrize(
    ("arguments", "kind", "name", "value"),
    [
        (["--direct_num_workers", "2"], DirectOptions, "direct_num_workers", 2),
        (["--direct-num-workers=3"], DirectOptions, "direct_num_workers", 3),
        (
            ["--direct_running_mode", "multi_processing"],
            DirectOptions,
            "direct_running_mode",
            "multi_processing",
        ),
        (["--runner", "FlinkRunner"], StandardOptions, "runner", "FlinkRunner"),
        (["--streaming"], StandardOptions, "streaming", True),
    ],
)
def test_options_of_beam_arrive_there(
    arguments: list[str], kind: type[PipelineOptions], name: str, value: object
) -> None:
    assert getattr(parsed(*arguments).beam.view_as(kind), name) == value


def test_ours_are_not_beams() -> None:
    beam = parsed("--scorer", "elastic", "--experiments", "a", "--experiments", "b").beam
    assert beam.get_all_options(drop_default=True) == {"experiments": ["a", "b"]}


JSON = {"beam_services", "direct_test_splits", "transform_name_mapping"}
JSON |= {"sdk_harness_log_level_overrides", "gcs_custom_audit_entries"}


def flags_of_beam() -> dict[str, str]:
    """Each option of Beam as a token, with a value of the right type."""
    parser = argparse.ArgumentParser(add_help=False)
    for kind in PipelineOptions.__subclasses__():
        if kind is not RunOptions and kind.__module__.startswith("apache_beam"):
            kind._add_argparse_args(parser)
    tokens = {}
    for action in parser._actions:
        value: object = "text"
        if action.choices:
            value = sorted(action.choices)[-1]
        elif action.type in (int, float):
            value = 7
        elif action.dest in JSON:
            value = '{"a": "b"}'
        for flag in action.option_strings:
            tokens[flag] = flag if action.nargs == 0 else f"{flag}={value}"
    return tokens


BEAM = flags_of_beam()


@pytest.mark.parametrize("flag", BEAM)
def test_every_option_of_beam_passes_through(flag: str) -> None:
    token = BEAM[flag]
    alone = PipelineOptions([token]).get_all_options()
    passed = parsed(token).beam.get_all_options()
    assert {name: passed[name] for name in alone} == alone


# YAML


def test_a_file_can_hold_all(config: Any) -> None:
    text = """
    inputs: [a, "b*"]
    output: there
    geoip-database: x.mmdb
    rules: [one.yaml, two]
    scorer: elastic
    identity: session
    from: 2026-03-02
    until: 2026-03-02T14:30:00Z
    direct_num_workers: 2
    direct-running-mode: multi_processing
    experiments: [e1, e2]
    streaming: false
    save_main_session: true
    temp_location:
    """
    settings = parse_run([config(text)])
    assert settings.inputs == ("a", "b*")
    assert settings.output == Path.cwd() / "there"
    assert settings.geoip_database == Path.cwd() / "x.mmdb"
    assert settings.rules == (Path("one.yaml"), Path("two"))
    assert (settings.scorer, settings.identity) == ("elastic", "session")
    assert (settings.start, settings.until) == (MARCH_2, MARCH_2 + 52_200_000)
    assert settings.beam.get_all_options(drop_default=True) == {
        "direct_num_workers": 2,
        "direct_running_mode": "multi_processing",
        "experiments": ["e1", "e2"],
        "save_main_session": True,
    }


@pytest.mark.parametrize(
    ("text", "arguments", "field", "value"),
    [
        ("scorer: elastic", ["--scorer", "window"], "scorer", "window"),
        ("identity: session", ["--identity=issuer"], "identity", "issuer"),
        ("from: 2026-03-01", ["--from", "2026-03-02"], "start", MARCH_2),
        ("output: there", [], "output", Path.cwd() / "out"),
        ("rules: one", ["--rules", "two"], "rules", (Path("two"),)),
        ("inputs: elsewhere", [], "inputs", ("logs",)),
    ],
)
@pytest.mark.parametrize("last", [True, False])
def test_the_command_line_overrules_the_file(
    config: Any, text: str, arguments: list[str], field: str, value: object, last: bool
) -> None:
    tokens = [config(text), *GIVEN, *arguments] if last else [*GIVEN, *arguments, config(text)]
    assert getattr(parse_run(tokens), field) == value


def test_the_command_line_overrules_beams_options_in_the_file(config: Any) -> None:
    beam = parsed(config("direct_num_workers: 4"), "--direct_num_workers", "2").beam
    assert beam.view_as(DirectOptions).direct_num_workers == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("scoer: elastic", ["scoer: no such option", "did you mean scorer"]),
        ("geoip-databse: x", ["geoip-databse: no such option", "did you mean geoip_database"]),
        ("direct_num_worker: 2", ["direct_num_worker: no such", "did you mean direct_num_workers"]),
        ("input: logs", ["input: no such option", "did you mean inputs"]),
        ("qqqqqqqqq: 1", ["qqqqqqqqq: no such option"]),
        ("1: x", ["1: no such option"]),
        ("config: other.yaml", ["config"]),
        ("- scorer", ["not a mapping"]),
        ("scorer", ["not a mapping"]),
        ("", ["not a mapping"]),
        ("scorer: [elastic", ["cannot be read", "line 1"]),
        ("a: b: c", ["cannot be read"]),
        ("scorer: !!python/object/apply:os.system [id]", ["cannot be read", "python/object"]),
        ("\tscorer: elastic", ["cannot be read"]),
    ],
)
def test_a_file_that_is_wrong(config: Any, text: str, told: list[str]) -> None:
    option = config(text)
    message = refused(*GIVEN, option)
    assert message.startswith(option.replace("=", " "))
    assert all(part in message for part in told), message
    assert message.isprintable()
    assert "did you mean config" not in message


@pytest.mark.parametrize(
    "text",
    [
        "scorer: true",
        "output: true",
        "experiments: true",
        "direct_num_workers: true",
        "output: {a: b}",
        "rules: [[a]]",
        "inputs: [{a: b}]",
        "inputs: true",
        "streaming: 5",
        "scorer: elastic\nscorer: window",
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_its_own_name(config: Any, text: str) -> None:
    message = refused("first", "second", "--output", "out", config(text))
    assert text.partition(":")[0] in message
    assert "first" not in message


@pytest.mark.parametrize("name", ["nowhere.yaml", ".", "binary.yaml"])
def test_a_file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("binary.yaml").write_bytes(b"\xff\xfe\x00scorer")
    message = refused(*GIVEN, "--config", name)
    assert message.startswith(f"--config {name}: cannot be read: ")
    assert message.isprintable()


# Refusals: one line that names the thing, its value and the fix


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], ["INPUT", "none given", "name files, folders or globs"]),
        (["--output", "out"], ["INPUT", "none given"]),
        (["logs"], ["--output", "none given", "name a new folder"]),
        (["logs", "--output="], ["--output", "none given"]),
        (["logs", "--output"], ["--output: a value is missing; see raretrail run --help"]),
        ([*GIVEN, "--geoip_databse", "x"], ["--geoip_databse", "did you mean --geoip_database?"]),
        ([*GIVEN, "--geoip-databse=x"], ["--geoip", "did you mean --geoip_database?"]),
        ([*GIVEN, "--form", "2026-03-02"], ["--form", "did you mean --from?"]),
        ([*GIVEN, "--outptu", "x"], ["--outptu", "did you mean --output?"]),
        ([*GIVEN, "--direct_num_wrokers=2"], ["--direct_num_wrokers", "--direct_num_workers?"]),
        ([*GIVEN, "--inputs", "x"], ["--inputs", "no such option"]),
        ([*GIVEN, "--qqqqqqqqqqqq"], ["--qqqqqqqqqqqq", "no such option"]),
        ([*GIVEN, "--scor", "window"], ["--scor", "did you mean --scorer?"]),
        ([*GIVEN, "-x"], ["-x", "no such option"]),
        (
            [*GIVEN, "--scorer", "elastik"],
            ["elastik: no", "mean elastic?)", "window or elastic"],
        ),
        ([*GIVEN, "--scorer="], ["--scorer : no such value; choose", "window or elastic"]),
        (
            [*GIVEN, "--identity", "arn"],
            ["--identity arn: no", "choose role, session,"],
        ),
        ([*GIVEN, "--direct_num_workers", "two"], ["--direct_num_workers two: not a whole number"]),
        ([*GIVEN, "--from", "yesterday"], ["--from yesterday", "not a time", "2026-03-02T14:30"]),
        ([*GIVEN, "--until", "2026-02-30"], ["--until 2026-02-30", "not a time", "2026-03-02"]),
        ([*GIVEN, "--until", "1772409600"], ["--until 1772409600", "not a time"]),
        ([*GIVEN, "--from="], ["--from", "not a time"]),
        (
            [*GIVEN, "--from", "2026-03-02", "--until", "2026-03-02"],
            ["--until 2026-03-02", "not after", "--from 2026-03-02"],
        ),
        (
            [*GIVEN, "--from", "2026-03-02", "--until", "2026-03-01"],
            ["--until 2026-03-01", "not after", "--from 2026-03-02"],
        ),
        (
            [*GIVEN, "--from", "2026-03-02", "--until", "2026-03-02T00:59:59+01:00"],
            ["--until 2026-03-02T00:59:59+01:00", "not after"],
        ),
        ([*GIVEN, "--from", "two\nlines"], ["--from", "not a time"]),
        ([*GIVEN, "--scorer", "two\nlines"], ["--scorer"]),
        ([*GIVEN, "--\x1b[2Jwipe"], ["no such option"]),
    ],
)
def test_refusals(arguments: list[str], told: list[str]) -> None:
    message = refused(*arguments)
    assert all(part in message for part in told), message
    assert message.isprintable()


@pytest.mark.parametrize(
    ("name", "names", "words"),
    [
        ("scoer", ["scorer", "output"], " (did you mean scorer?)"),
        ("zzz", ["scorer", "output"], ""),
        ("x", [], ""),
    ],
)
def test_the_nearest_name(name: str, names: list[str], words: str) -> None:
    assert nearest(name, names) == words
