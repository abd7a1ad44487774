"""One run at a time on a folder."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.lock import LOCK, Lock

ROOT = Path(__file__).parents[2]
_HOLD = """
import sys
from pathlib import Path
from pipeline.lock import Lock
with Lock(Path(sys.argv[1]), "--output"):
    print("held", flush=True)
    sys.stdin.read()
"""
_STRESS = """
import os, sys
from pathlib import Path
from pipeline.errors import UsageError
from pipeline.lock import Lock
folder, inside, entered = Path(sys.argv[1]), Path(sys.argv[2]), 0
for _ in range(int(sys.argv[3])):
    try:
        with Lock(folder, "--output"):
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # fails if another one is inside
            entered += 1
            inside.unlink()
    except UsageError:
        pass
print(entered)
"""


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that runs some code."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a folder."""
    process = child(_HOLD, folder)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_second_one_is_told_who_holds_it(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(UsageError) as refusal, Lock(tmp_path, "--output"):
            pass
        told = str(refusal.value)
    assert told.startswith(f"--output {tmp_path}: in use by process {process.pid} on ")
    assert " since 20" in told
    assert told.endswith(" UTC; wait for it")
    assert "\n" not in told


def test_a_refused_one_leaves_the_lock_as_it_is(tmp_path: Path) -> None:
    with holder(tmp_path):
        text = (tmp_path / LOCK).read_text()
        for _ in range(3):
            with pytest.raises(UsageError), Lock(tmp_path, "--output"):
                pass
        assert (tmp_path / LOCK).read_text() == text


def test_it_is_refused_within_one_process_too(tmp_path: Path) -> None:
    with Lock(tmp_path, "--output"):
        with pytest.raises(UsageError, match=f"process {os.getpid()} "), Lock(tmp_path, "x"):
            pass
        with pytest.raises(UsageError), Lock(tmp_path, "x"):
            pass


def test_a_killed_holder_leaves_it_free(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (tmp_path / LOCK).exists()
        with Lock(tmp_path, "--output"):
            assert (tmp_path / LOCK).read_text().startswith(f"process {os.getpid()} on ")


def test_nothing_is_left_of_it(tmp_path: Path) -> None:
    for _ in range(2):
        with Lock(tmp_path, "--output"):
            assert [path.name for path in tmp_path.iterdir()] == [LOCK]
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(RuntimeError), Lock(tmp_path, "--output"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_its_folder_may_be_gone_at_the_end(tmp_path: Path) -> None:
    with Lock(tmp_path, "--output"):
        (tmp_path / LOCK).unlink()
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_another_is_never_removed(tmp_path: Path) -> None:
    """A run that failed removes its folder, lock and all; another may hold it anew by then."""
    first, second = Lock(tmp_path, "--output"), Lock(tmp_path, "--output")
    first.__enter__()
    (tmp_path / LOCK).unlink()
    with second:
        first.__exit__(None, None, None)
        assert (tmp_path / LOCK).exists()
        with pytest.raises(UsageError), Lock(tmp_path, "--output"):
            pass


def test_many_never_hold_it_together(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    running = [child(_STRESS, folder, tmp_path / "inside", 1_000) for _ in range(4)]
    ended = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * 4, ended
    assert all(int(out) > 0 for out, _ in ended), ended
    assert list(folder.iterdir()) == []


def test_a_holder_that_is_slow_to_write_its_name_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between taking the lock and writing the name the file is empty."""
    taken, go_on = threading.Event(), threading.Event()
    ours = Lock._is_ours

    def slow(self: Lock) -> bool:
        taken.set()
        go_on.wait(10)
        return ours(self)

    monkeypatch.setattr(Lock, "_is_ours", slow)

    def hold() -> None:
        with Lock(tmp_path, "--output"):
            pass

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait(10)
    try:
        with pytest.raises(UsageError, match="in use by another run"), Lock(tmp_path, "--output"):
            pass
    finally:
        go_on.set()
        thread.join()


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSPC])
def test_a_folder_that_cannot_be_held_is_no_folder_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """A file system without locks, or a full one that has no room for the name."""

    def fail(*_: object) -> None:
        raise OSError(error, os.strerror(error))

    if error == errno.ENOLCK:
        monkeypatch.setattr("pipeline.lock.fcntl.flock", fail)
    else:
        monkeypatch.setattr(Lock, "_tell", fail)
    with pytest.raises(OSError, match=os.strerror(error)), Lock(tmp_path, "--output"):
        pass
    assert error == errno.ENOLCK or list(tmp_path.iterdir()) == []
