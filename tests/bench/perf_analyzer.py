"""NVIDIA's perf_analyzer, the yardstick of what a Triton gives by itself; fetched once into `var/perf-analyzer`.

The binary wants a newer C library than Debian 12 has. There the loader and libraries of the next release are taken out
of their packages, from the machine's own mirror, and laid beside it; nothing is installed.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deploy.local.stack import ROOT
from services.inference.tensors import Array

_FOLDER = ROOT / "var" / "perf-analyzer"
_BINARY = _FOLDER / "wheel" / "perf_analyzer" / "bin" / "perf_analyzer"
_LIBRARIES = _FOLDER / "libraries"
_LOCK = ROOT / "requirements" / "perf-analyzer.lock"
_NEXT_RELEASE, _PACKAGES = "trixie", ("libc6", "libstdc++6", "libgcc-s1")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_SECONDS = 120


@dataclass(frozen=True)
class Load:
    """Requests of `batch` rows for a model at `url`. `row` holds what each input gets of every row."""

    url: str
    model: str
    batch: int
    row: Mapping[str, Array]
    shared_memory: bool = False


class CannotMeasure(RuntimeError):
    """In one sentence why."""


@dataclass(frozen=True)
class PerfAnalyzer:
    command: Sequence[str]

    async def rate(self, load: Load, concurrency: int, requests: int) -> float:
        """Rows a second, from the first request to the last answer."""
        with tempfile.TemporaryDirectory() as folder:
            data, report = Path(folder) / "data", Path(folder) / "report.json"
            data.mkdir()
            for name, row in load.row.items():
                (data / name).write_bytes(row.tobytes())
            words = [*_words(load, data), f"--concurrency-range={concurrency}:{concurrency}", "--async"]
            words += [f"--request-count={max(requests, concurrency)}", f"--profile-export-file={report}"]
            await self._run(words)
            return _rate(report, load.batch)

    async def _run(self, words: Sequence[str]) -> None:
        process = await asyncio.create_subprocess_exec(
            *self.command, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), _SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise CannotMeasure(f"perf_analyzer did not end within {_SECONDS} s") from None
        if process.returncode != 0:
            raise CannotMeasure(f"perf_analyzer ended with {process.returncode}: {said.decode()[-1000:]}")


@cache
def perf_analyzer() -> PerfAnalyzer | None:
    """None where it cannot be had; why, is said on standard error."""
    try:
        _fetch()
        found = PerfAnalyzer(_command())
        _try(found)
    except (CannotMeasure, OSError, subprocess.SubprocessError) as problem:
        sys.stderr.write(f"  no perf_analyzer: {problem}\n")
        return None
    return found


def _fetch() -> None:
    if not _BINARY.exists():
        uv, target = Path(sys.executable).parent / "uv", ["--target", str(_FOLDER / "wheel")]
        # Without these a plain install takes an empty placeholder of the same name on an older C library.
        platform = ["--python-platform", "x86_64-manylinux_2_38", "--python-version", "3.12"]
        pinned = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(_LOCK)]
        _say([str(uv), "pip", "install", "--quiet", *target, *platform, *pinned])
        _BINARY.chmod(0o755)


def _command() -> list[str]:
    said = subprocess.run([_BINARY], capture_output=True, text=True, check=False).stderr
    if "not found (required by" not in said:  # what a loader says that lacks a version of the C library
        return [str(_BINARY)]
    libraries = _LIBRARIES / "usr" / "lib" / "x86_64-linux-gnu"
    if not (libraries / "ld-linux-x86-64.so.2").exists():
        _fetch_libraries()
    folders = os.pathsep.join([str(libraries), "/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu"])
    return [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", folders, str(_BINARY)]


def _fetch_libraries() -> None:
    mirror = next(_mirrors(), None)
    if mirror is None:
        raise CannotMeasure("the C library is too old for it, and there is no Debian mirror to take a newer one from")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for name in ("state/lists/partial", "cache/archives/partial"):
            (work / name).mkdir(parents=True)
        (work / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {mirror} {_NEXT_RELEASE} main\n")
        own = {
            "Dir::Etc::sourcelist": f"{work}/sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": f"{work}/state/lists",
            "Dir::Cache": f"{work}/cache",
            "APT::Sandbox::User": "",
        }
        apt = ["apt-get", "-q", *(word for name, value in own.items() for word in ("-o", f"{name}={value}"))]
        _say([*apt, "update"])
        _say([*apt, "download", *_PACKAGES], work)
        for archive in work.glob("*.deb"):
            _say(["dpkg-deb", "-x", str(archive), str(_LIBRARIES)])


def _mirrors() -> Iterator[str]:
    """Of Debian itself, as this machine's package sources name them."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("debian*"))]
    for path in sources:
        for line in path.read_text().splitlines() if path.is_file() else []:
            if not line.lstrip().startswith("#") and "security" not in line:
                yield from re.findall(r"https?://\S+", line)


def _try(found: PerfAnalyzer) -> None:
    """It must at least start: asked for nothing, it says that it misses the model's name."""
    done = subprocess.run(found.command, capture_output=True, text=True, check=False, timeout=30)
    if "-m" not in done.stdout + done.stderr:
        raise CannotMeasure(f"it does not start: {(done.stderr or done.stdout).strip()[:300]}")


def _words(load: Load, data: Path) -> list[str]:
    shapes = [f"--shape={name}:{','.join(map(str, row.shape))}" for name, row in load.row.items()]
    memory = ["--shared-memory=system", "--output-shared-memory-size=1048576"] if load.shared_memory else []
    return [
        "-m",
        load.model,
        "-i",
        "grpc",
        "-u",
        load.url,
        "-b",
        str(load.batch),
        f"--input-data={data}",
        *shapes,
        *memory,
    ]


def _rate(report: Path, batch: int) -> float:
    (experiment,) = json.loads(report.read_bytes())["experiments"]
    requests = [one for one in experiment["requests"] if one["response_timestamps"]]
    if not requests:
        raise CannotMeasure("perf_analyzer got no answers")
    began = min(one["timestamp"] for one in requests)
    ended = max(one["response_timestamps"][-1] for one in requests)
    return float(len(requests) * batch / ((ended - began) / 1e9))


def _say(command: Sequence[str], folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotMeasure(f"{' '.join(command[:3])} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
