"""The options of steps, incremental runs and state."""

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.options import RunSettings, parse_run

GIVEN = ("logs", "--output", "out")
UNTIL = ("--until", "2026-03-02")


def parsed(*arguments: str) -> RunSettings:
    return parse_run([*GIVEN, *arguments])


def test_the_least_that_can_be_said() -> None:
    settings = parsed()
    assert settings.step is settings.snapshot_in is settings.snapshot_out is None
    assert settings.incremental is settings.as_live is settings.arrivals is False
    assert settings.forget_after == 180


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["--step", "1d"], "step", 1),
        (["--step=30d"], "step", 30),
        (["--step", "none"], "step", 0),
        (["--forget_after", "1d"], "forget_after", 1),
        (["--forget-after=99999d"], "forget_after", 99_999),
        (["--incremental"], "incremental", True),
        (["--as_live"], "as_live", True),
        (["--as-live"], "as_live", True),
        (["--snapshot_in", "x"], "snapshot_in", Path.cwd() / "x"),
        (["--snapshot_in", "/x"], "snapshot_in", Path("/x")),
        (["--snapshot_in", "x", "--incremental"], "snapshot_in", Path.cwd() / "x"),
        ([*UNTIL, "--snapshot-out", "x"], "snapshot_out", Path.cwd() / "x"),
        (["--step", "2d", "--incremental"], "step", 2),
    ],
)
def test_options(arguments: list[str], field: str, value: object) -> None:
    assert getattr(parsed(*arguments), field) == value


@pytest.mark.parametrize("flag", ["--incremental", "--as_live"])
def test_arrivals_count_in_incremental_runs_and_as_live(flag: str) -> None:
    assert parsed(flag).arrivals is True


def test_run_json_says_what_was_asked_for() -> None:
    document = parsed(*UNTIL, "--step=7d", "--snapshot_in", "a", "--snapshot_out", "b").document()
    asked = {name: document[name] for name in ("step", "incremental", "as_live", "forget_after")}
    assert asked == {"step": 7, "incremental": False, "as_live": False, "forget_after": 180}
    assert document["snapshot_in"] == str(Path.cwd() / "a")
    assert document["snapshot_out"] == str(Path.cwd() / "b")
    assert parsed().document()["snapshot_in"] is parsed().document()["snapshot_out"] is None


def test_a_file_can_hold_all(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("step: 2d\nincremental: true\nforget-after: 90d\nsnapshot_in: x\n", "utf-8")
    settings = parsed("--config", str(config))
    assert (settings.step, settings.incremental, settings.forget_after) == (2, True, 90)
    assert settings.snapshot_in == Path.cwd() / "x"
    assert parsed("--config", str(config), "--step", "none").step == 0


@pytest.mark.parametrize(("text", "fix"), [("7", "7d"), ("0", "1d"), ("12h", "1d")])
def test_a_bare_number_is_shown_as_days(text: str, fix: str) -> None:
    assert refused("--step", text).endswith(f"write it as {fix} or none")


NO_DAYS = ["", "0d", "d", "1", "1h", "-1d", "1.5d", "1 d", "100000d", "ten", "1d\n", "None"]


@pytest.mark.parametrize("text", NO_DAYS)
@pytest.mark.parametrize(
    ("flag", "fix"), [("--step", "write it as 1d or none"), ("--forget_after", "write it as 1d")]
)
def test_what_is_no_number_of_days(flag: str, fix: str, text: str) -> None:
    message = refused(f"{flag}={text}")
    assert message.startswith(flag)
    assert "not a number of days" in message
    assert message.endswith(fix)
    assert message.isprintable()


def test_only_steps_can_be_none() -> None:
    assert "not a number of days" in refused("--forget_after=none")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--snapshot_out", "x"], ["--snapshot_out", "needs --until"]),
        (["--snapshot_out", "x", "--incremental"], ["--snapshot_out"]),
        (["--incremental", "--from", "2026-03-02"], ["--from", "not together"]),
        (["--incremental", *UNTIL], ["--until", "not together", "--incremental"]),
        (["--incremental", "--as_live"], ["--as_live", "not together", "--incremental"]),
        (
            ["--incremental", *UNTIL, "--snapshot_out", "x"],
            ["not together with --incremental"],
        ),
        (["--incremental", "-"], ["INPUT -", "looked at again", "name files or folders"]),
        (["--stpe", "1d"], ["--stpe", "did you mean --step?"]),
    ],
)
def test_refusals(arguments: list[str], told: list[str]) -> None:
    message = refused(*arguments)
    assert all(part in message for part in told), message
    assert message.isprintable()


def refused(*arguments: str) -> str:
    with pytest.raises(UsageError) as refusal:
        parsed(*arguments)
    return str(refusal.value)


@pytest.mark.parametrize("flags", [["--as_live"], ["--step", "1d"], [*UNTIL, "--snapshot_out=x"]])
def test_replays_may_have_them_together(flags: list[str]) -> None:
    assert parsed(*flags, "--snapshot_in", "y").snapshot_in == Path.cwd() / "y"
