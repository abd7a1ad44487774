"""Agreement with golden numbers, and the worked example of the page on rarity."""

import copy
import gzip
import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from transforms.history import History
from transforms.rarity import LIMIT, Elastic, Window, probability, score_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def parity() -> Any:
    """benchmarks.parity, which lies beside the packages."""
    sys.path.insert(0, str(ROOT))
    yield importlib.import_module("benchmarks.parity")
    sys.path.remove(str(ROOT))


# The page's own numbers


@pytest.mark.parametrize(
    ("p", "score"),
    [
        (0.035, 10.5),
        (0.01, 29.6),
        (0.005, 40.2),
        (0.0026, 50.2),
        (0.001, 64.8),
        (5.13e-4, 75.0),
        (2.5e-4, 86.0),
        (1e-4, 100.0),
        (1e-9, 100.0),
        (2.2e-308, 100.0),
        (0.05, 5.0),
        (0.5, 0.0),
        (1.0, 0.0),
    ],
)
def test_the_table_of_scores(p: float, score: float) -> None:
    assert score_of(p) == pytest.approx(score, abs=0.051)


def worked_example(new: int = 1) -> np.ndarray:
    """Aged counts of 20 actions and of new ones, in which N, q₁, q₂ and Q₂ are as on the page."""
    mass_new, total, second = 0.99950, 2981.50, 0.0450201 * 2981.50
    others = [(total - mass_new - second) / 19] * 19
    return np.array([second, *[mass_new] * new, *others])


def test_the_worked_example() -> None:
    masses = worked_example()
    assert masses.sum() == pytest.approx(2981.50)
    assert 0.99950 / masses.sum() == pytest.approx(3.35233e-4, rel=1e-5)
    p = probability(masses, 0.99950)
    assert p == pytest.approx(3.53004e-4, rel=2e-6)
    assert score_of(p) == pytest.approx(80.72, abs=0.005)


def test_a_burst_dilutes_itself_under_elastic() -> None:
    p = probability(worked_example(new=10), 0.99950)
    assert score_of(p) == pytest.approx(52.0, abs=0.5)


def test_the_order_of_counts_does_not_matter() -> None:
    masses = worked_example()
    assert probability(masses[::-1], 0.99950) == probability(masses, 0.99950)


# A golden file made by hand: four groups of five actions take turns hour by hour, and in the last
# hour come actions never seen before. The probabilities were computed once from the page's
# formulas by summing the beta density numerically, without its special functions.

GOLDEN = [
    ("one new action after 708 hours", 3600, 708, 1, 0.0008934636112, 66.523414),
    ("ten new actions after 708 hours", 3600, 708, 10, 0.0028401155760, 48.844588),
    ("one new action after 708 quarters", 900, 708, 1, 0.0008206394352, 67.823104),
    ("one new action after 100 hours", 3600, 100, 1, 0.0055812115034, 38.517581),
    ("two new actions after 100 quarters", 900, 100, 2, 0.0067879288275, 35.525389),
    ("three new actions after 2500 hours", 3600, 2500, 3, 0.0005542669724, 73.822123),
    ("one new action after 15 hours, 0.041", 3600, 15, 1, None, None),
]


def scenario(
    name: str, span: int, buckets: int, new: int, p: float | None, score: float | None
) -> dict[str, Any]:
    rows: list[Any] = []
    for number in range(buckets + 1):
        actions = [f"Usual{number % 4}{n}" for n in range(5)]
        actions += [f"New{n}" for n in range(new)] * (number == buckets)
        rows.append([number * span, [["alice", action] for action in actions]])
    expected = [
        {"bucket": buckets * span, "entity": "alice", "action": f"New{n}"}
        | {"probability": p, "score": score}
        for n in range(new)
    ]
    return {
        "name": name,
        "bucket_span_s": span,
        "buckets": rows,
        "expected": [] if p is None else expected,
    }


@pytest.fixture(scope="module")
def golden() -> list[dict[str, Any]]:
    return [scenario(*row) for row in GOLDEN]


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes a golden file and gives its path."""

    def to_file(content: object) -> str:
        path = tmp_path / "golden.json.gz"
        path.write_bytes(gzip.compress(json.dumps(content).encode()))
        return str(path)

    return to_file


def test_it_agrees_with_the_page(
    parity: ModuleType, golden: Any, write: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parity.main([write(golden)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "agrees"
    assert len(out) == 2 + len(GOLDEN)
    assert all(line.split()[-2:] == ["0", "0"] for line in out[1:-1])


def doctored(golden: list[dict[str, Any]], **changes: Any) -> list[dict[str, Any]]:
    """The same with one row of the first scenario changed."""
    changed = copy.deepcopy(golden)
    row = changed[0]["expected"][0]
    for key, change in changes.items():
        row[key] = change(row[key])
    return changed


@pytest.mark.parametrize(
    ("key", "change", "status"),
    [
        ("probability", lambda p: p * (1 + 5e-7), 0),
        ("probability", lambda p: p * (1 + 2e-6), 1),
        ("probability", lambda p: p * (1 - 2e-6), 1),
        ("score", lambda score: score + 0.0009, 0),
        ("score", lambda score: score + 0.0011, 1),
        ("score", lambda score: score - 0.0011, 1),
        ("action", lambda action: "Other", 1),
        ("entity", lambda entity: "bob", 1),
        ("bucket", lambda bucket: bucket + 1, 1),
    ],
)
def test_it_disagrees_beyond_the_tolerances(
    parity: ModuleType,
    golden: Any,
    write: Any,
    key: str,
    change: Any,
    status: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert parity.main([write(doctored(golden, **{key: change}))]) == status
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("DISAGREES" if status else "agrees")


def test_a_judgement_that_is_missing_or_extra_disagrees(
    parity: ModuleType, golden: Any, write: Any
) -> None:
    fewer, more = copy.deepcopy(golden), copy.deepcopy(golden)
    del fewer[1]["expected"][3]
    more[1]["expected"].append({**more[1]["expected"][0], "action": "Usual00"})
    assert parity.main([write(fewer)]) == 1
    assert parity.main([write(more)]) == 1


def test_any_of_several_files_can_disagree(
    parity: ModuleType, golden: Any, tmp_path: Path, write: Any
) -> None:
    good = write(golden)
    bad = tmp_path / "bad.json.gz"
    bad.write_bytes(gzip.compress(json.dumps(doctored(golden, score=lambda s: s + 1)).encode()))
    assert parity.main([good, str(bad)]) == 1
    assert parity.main([str(bad), good]) == 1


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"no gzip",
        gzip.compress(b"no JSON"),
        gzip.compress(b"[]")[:-4],
        gzip.compress(b"{}"),
        gzip.compress(b"[1]"),
        gzip.compress(b'[{"name": "x"}]'),
        gzip.compress(b"[]"),
    ],
    ids=["missing", "empty", "no gzip", "no JSON", "cut", "map", "numbers", "keys", "nothing"],
)
def test_garbage_is_no_golden_file(
    parity: ModuleType, tmp_path: Path, data: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "golden.json.gz"
    if data is not None:
        path.write_bytes(data)
    assert parity.main([str(path)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert str(path) in told[0]


def test_it_wants_a_file(parity: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert parity.main([]) == 2
    assert capsys.readouterr().err.startswith("usage: python -m benchmarks.parity")


def run_module(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.parity", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_it_agrees_with_the_shared_golden_numbers(shared: Path, write: Any) -> None:
    path = shared / "parity" / "rare_golden.json.gz"
    done = run_module(str(path))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "agrees")
    scenarios = json.loads(gzip.decompress(path.read_bytes()))
    scenarios[-1]["expected"][7]["probability"] *= 1.00001
    done = run_module(write(scenarios))
    assert done.returncode == 1
    assert "DISAGREES" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("field", ["S", "score", "habit"])
def test_it_agrees_with_the_golden_judgements_of_contrast(
    shared: Path, write: Any, field: str
) -> None:
    """And finds a number of them that is off."""
    path = shared / "parity" / "contrast_golden.json.gz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    scenarios = json.loads(gzip.decompress(path.read_bytes()))
    if field == "S":
        done = run_module(str(path))
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "agrees")
        assert len(done.stdout.splitlines()) == len(scenarios) + 2
    smallest = min(scenarios, key=lambda one: len(one["slices"]))
    row = next(one for one in reversed(smallest["expected"]) if one["score"] is not None)
    of = row["factors"] if field == "habit" else row
    of[field] += 0.002
    done = run_module(write([smallest]))
    assert (done.returncode, "DISAGREES" in done.stdout) == (1, True)


def test_garbage_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"garbage")
    done = run_module(str(tmp_path / "x"))
    assert done.returncode == 2
    assert len([line for line in done.stderr.splitlines() if line.startswith("parity: ")]) == 1
    assert "Traceback" not in done.stderr


def test_nothing_is_on_standard_error_but_what_it_has_to_say(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"garbage")
    (line,) = run_module(str(tmp_path / "x")).stderr.splitlines()
    assert line.startswith("parity: ")


# `window` judges each action by itself


def history(slices: int = 800) -> History:
    """Four groups of five actions take turns, slice by slice."""
    learned = History()
    for number in range(slices):
        learned.learn(number, {f"Usual{number % 4}{n}" for n in range(5)}, (), ())
    return learned


def test_a_burst_of_ten_new_actions_scores_like_one_under_window() -> None:
    burst = [f"New{n}" for n in range(10)]
    learned = history()
    alone = Window().judge(learned, ["New0"])
    together = Window().judge(learned, [*burst, "Usual00"])
    assert alone.keys() == {"New0"}
    assert together == dict.fromkeys(burst, alone["New0"])
    assert score_of(alone["New0"]) > 60
    assert Window().judge(learned, ["New0"]) == alone, "judging teaches nothing"


def test_a_burst_scores_less_than_one_under_elastic() -> None:
    scores = []
    for new in (1, 10):
        learned, burst = history(), [f"New{n}" for n in range(new)]
        learned.learn(800, burst, (), ())
        scores.append(score_of(Elastic().judge(learned, burst)["New0"]))
    assert scores[0] - scores[1] > 10


def test_window_adds_the_action_itself_as_one_more_slice() -> None:
    """The history as if one more slice held the action alone: a count of 1, aged once."""
    for action in ("New0", "Usual00"):
        learned = history()
        learned.learn(800, [action], (), ())
        expected = probability(learned.masses.all(), learned.mass(action))
        judged = Window().judge(history(), [action])
        if expected < LIMIT:
            assert judged[action] == pytest.approx(expected, rel=1e-12)
        else:
            assert judged == {}


def test_an_action_that_is_known_is_less_rare_than_a_new_one() -> None:
    learned = history()
    learned.learn(800, ["Once"], (), ())
    learned.learn(801, ["Twice"], (), ())
    learned.learn(802, ["Twice"], (), ())
    judged = Window().judge(learned, ["New0", "Once", "Twice"])
    assert judged["New0"] < judged["Once"] < judged["Twice"] < LIMIT


def test_an_empty_history_judges_nothing() -> None:
    assert Window().judge(History(), ["New0"]) == {}
    assert Elastic().judge(History(), []) == {}
