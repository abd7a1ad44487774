"""A real Flink on this machine: five processes, their logs, and what one does to them.

JobManager, two TaskManagers with two slots each, Beam's job server, and the pool that starts Python
workers. The jars come through Maven by pom.xml, once: they are kept below ~/.cache/raretrail.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec

HERE: Final = Path(__file__).parent
REPOSITORY: Final = HERE.parents[1]
READY_S: Final = 60
"""Longest that anything may take to start on a loaded machine."""
_OPENED: Final = (
    *("lang", "net", "io", "nio", "lang.reflect", "text", "time", "util"),
    *("util.concurrent", "util.concurrent.atomic", "util.concurrent.locks"),
)
_JAVA: Final = (
    *(f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in _OPENED),
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # short runs: the second compiler would cost more than it gives
)
_MEMORY: Final = {
    "taskmanager.cpu.cores": "2.0",
    "taskmanager.memory.framework.heap.size": "128m",
    "taskmanager.memory.framework.off-heap.size": "128m",
    "taskmanager.memory.task.heap.size": "384m",
    "taskmanager.memory.task.off-heap.size": "0b",
    "taskmanager.memory.managed.size": "128m",
    "taskmanager.memory.network.min": "192m",
    "taskmanager.memory.network.max": "192m",
    "taskmanager.memory.jvm-metaspace.size": "256m",
    "taskmanager.memory.jvm-overhead.min": "192m",
    "taskmanager.memory.jvm-overhead.max": "192m",
}
"""Flink's scripts work these out; who starts the process itself has to say them."""


def jars() -> Path:
    """The folder of the jars: fetched once for each pom. Raises what `mvn` ends with."""
    pom = HERE / "pom.xml"
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "raretrail")
    folder = cache / f"flink-{sha256(pom.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
        goal = ("dependency:copy-dependencies", "-DincludeScope=runtime")
        command = ["mvn", "-q", "-B", "-f", str(pom), *goal, f"-DoutputDirectory={unfinished}"]
        subprocess.run(command, check=True, cwd=HERE)
        unfinished.rename(folder)
    return folder


def missing() -> str:
    """What this machine lacks to run a cluster, in words; "" if nothing."""
    lacking = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if not Path("/proc/self/task").exists():
        return "the tests look at processes in /proc"
    return f"no {' and no '.join(lacking)} in PATH: install Java 17 and Maven" if lacking else ""


def wait_for(what: str, found: Callable[[], Any], seconds: float = READY_S) -> Any:
    """The first true value that `found` gives; fails when it takes too long."""
    end = time.monotonic() + seconds
    while True:
        value = found()
        if value:
            return value
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.2)


class Cluster:
    """`start` it, submit with `options`, `stop` it. `home` holds logs, checkpoints, savepoints."""

    def __init__(self, home: Path, **settings: str) -> None:
        """`settings`: more of Flink's own configuration, with _ for - and __ for a dot."""
        self.home = home
        self._jars = jars()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        names = ("rpc", "rest", "job", "artifact", "expansion", "pool")
        self._ports = dict(zip(names, _free_ports(len(names)), strict=True))
        self._conf = home / "conf"
        self._conf.mkdir(parents=True)
        given = {name.replace("__", ".").replace("_", "-"): v for name, v in settings.items()}
        lines = [f"{name}: {value}\n" for name, value in (self._settings() | given).items()]
        (self._conf / "config.yaml").write_text("".join(lines), encoding="utf-8")

    def _settings(self) -> dict[str, str]:
        (self.home / "tmp").mkdir()
        return {
            "jobmanager.rpc.address": "localhost",
            "jobmanager.rpc.port": str(self._ports["rpc"]),
            "jobmanager.bind-host": "localhost",
            "rest.address": "localhost",
            "rest.bind-address": "localhost",
            "rest.port": str(self._ports["rest"]),
            "taskmanager.host": "localhost",
            "taskmanager.bind-host": "localhost",
            "taskmanager.numberOfTaskSlots": "2",
            "cluster.evenly-spread-out-slots": "true",
            "classloader.resolve-order": "parent-first",  # else no worker outlives its stage
            "io.tmp.dirs": str(self.home / "tmp"),
            "state.checkpoints.dir": f"file://{self.home}/checkpoints",
            "state.savepoints.dir": f"file://{self.home}/savepoints",
            "state.backend.type": "hashmap",
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": "20",
            "restart-strategy.fixed-delay.delay": "1s",
            "heartbeat.interval": "2000",
            "heartbeat.timeout": "6000",
            **_MEMORY,
        }

    # Life

    def start(self) -> Cluster:
        """Bring all of it up, the JobManager first."""
        job_manager = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
        self._java("jobmanager", 384, job_manager, *self._where, "--executionMode", "cluster")
        wait_for("the JobManager", lambda: self.ask("/overview"))
        for number in (1, 2):
            self.start_task_manager(number)
        self._java(
            *("jobserver", 512, "org.apache.beam.runners.flink.FlinkJobServerDriver"),
            *(f"--{name}-port={self._ports[name]}" for name in ("job", "artifact", "expansion")),
            f"--flink-master=localhost:{self._ports['rest']}",
            f"--artifacts-dir={self.home}/artifacts",
        )
        pool = [sys.executable, str(HERE / "pool.py"), str(self._ports["pool"])]
        self._begin("pool", pool)
        wait_for("two TaskManagers", lambda: self.ask("/overview")["taskmanagers"] == 2)
        for name in ("job", "pool"):
            wait_for(f"the port of {name}", lambda name=name: _listens(self._ports[name]))
        return self

    @property
    def _where(self) -> tuple[str, str]:
        return "--configDir", str(self._conf)

    def start_task_manager(self, number: int) -> None:
        """Start one, or start one again that was killed."""
        main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
        self._java(f"taskmanager{number}", 512, main, *self._where)

    def _java(self, name: str, heap: int, main: str, *arguments: str) -> None:
        log = ("-Dorg.slf4j.simpleLogger.showDateTime=true", "-cp", f"{self._jars}/*")
        self._begin(name, ["java", f"-Xmx{heap}m", *_JAVA, *log, main, *arguments])

    def _begin(self, name: str, command: list[str]) -> None:
        """Start a process of a group of its own, in an environment in which workers find us."""
        programs = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        paths = os.pathsep.join((str(REPOSITORY), str(HERE), str(HERE.parent / "behaviour")))
        environment = os.environ | {
            "PATH": programs,  # the pool starts plain `python`
            "PYTHONPATH": paths,
            "FLINK_CONF_DIR": str(self._conf),
        }
        with (self.home / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                cwd=self.home,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> None:
        """End everything, the Python workers included: they are of their pool's group."""
        for process in self._processes.values():
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for process in self._processes.values():
            process.wait()

    # Use

    @property
    def options(self) -> list[str]:
        """What `raretrail run` needs to be told."""
        return [
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{self._ports['job']}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{self._ports['pool']}",
            "--parallelism=2",
            "--environment_cache_millis=10000",  # or a batch job starts workers for each stage
        ]

    def ask(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """What Flink's REST interface answers; None if it does not."""
        url = f"http://localhost:{self._ports['rest']}{path}"
        data = None if body is None else msgspec.json.encode(body)
        request = urllib.request.Request(url, data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return msgspec.json.decode(answer.read() or b"{}")
        except OSError:
            return None

    def jobs(self, *states: str) -> list[str]:
        """The ids of the jobs in one of these states."""
        told = self.ask("/jobs") or {"jobs": []}
        return [job["id"] for job in told["jobs"] if job["status"] in states]

    # Harm

    def kill(self, name: str) -> None:
        """kill -9 one of the five."""
        process = self._processes[name]
        process.kill()
        process.wait()

    def workers(self) -> list[int]:
        """Process ids of the Python workers."""
        pool = self._processes["pool"].pid
        children = Path(f"/proc/{pool}/task/{pool}/children").read_text("ascii")
        return [int(pid) for pid in children.split() if _lives(int(pid))]

    def kill_worker(self) -> int:
        """kill -9 one Python worker; which it was."""
        pid = self.workers()[0]
        os.kill(pid, signal.SIGKILL)
        return pid


def _lives(pid: int) -> bool:
    """Whether a process is more than the memory of one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _free_ports(number: int) -> list[int]:
    held = [socket.socket() for _ in range(number)]
    for one in held:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("localhost", port)) == 0
