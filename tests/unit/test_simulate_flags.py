"""Flags of `raretrail simulate` mean the same however they are spelled."""

from __future__ import annotations

import argparse
from datetime import date

import pytest

from pipeline.cli import main
from pipeline.simulate import command


@pytest.mark.parametrize(
    "flags",
    [
        ["--start", "2025-03-03", "--records_per_object", "5"],
        ["--start=2025-03-03", "--records_per_object=5"],
        ["--start=2025-03-03", "--records-per-object=5"],
        ["--start", "2025-03-03", "--records-per-object", "5"],
    ],
)
def test_values_may_follow_an_equals_sign_and_names_may_have_hyphens(
    flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[argparse.Namespace] = []
    monkeypatch.setattr(command, "run", lambda args: seen.append(args) or 0)
    assert main(["simulate", "some-directory", *flags]) == 0
    (args,) = seen
    assert (args.start, args.records_per_object) == (date(2025, 3, 3), 5)
    assert str(args.directory) == "some-directory"
