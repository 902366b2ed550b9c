"""`python3 deploy/local/install.py app|triton|formats|manifests`: an environment, from a Python with nothing else.

Standard library only. Debian and Ubuntu split off two things that are needed here, the pip that `venv` puts in and the
shared library of Python that Triton's stub loads. Where one is missing it is taken out of its package, without root
and without installing it.
"""

import ctypes.util
import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
APP, TRITON, FORMATS, MANIFESTS = (
    ROOT / name for name in (".venv", ".venv-triton", ".venv-formats", ".venv-manifests")
)
LIBPYTHON = ROOT / "var" / "libpython"
OLDEST = (3, 11)
# Triton's wheel has stubs for no newer one.
NEWEST_FOR_TRITON = (3, 13)


class CannotInstall(RuntimeError):
    """In one sentence what is missing and what to do."""


def install_app() -> None:
    """.venv with everything of the lock file, hashes checked."""
    if sys.version_info < OLDEST:
        raise CannotInstall(f"Prelabel needs Python 3.11 or newer; this is {sys.version.split()[0]}: make PYTHON=...")
    with _under_way(APP):
        _make_venv(Path(sys.executable), APP)
        if not (APP / "bin" / "uv").exists():
            pip = [*_pip(), "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
            _run([*pip, "-r", _lock("uv")])
        _install(APP, "dev")


def install_triton() -> None:
    """.venv-triton, which no other package may disturb, and the library that its stub needs."""
    python = _python_for_triton()
    with _under_way(TRITON):
        _make_venv(python, TRITON)
        _install(TRITON, "triton", "tritonserver", dependencies=False)
        _run([str(TRITON / "bin" / "python"), __file__, "libpython"])


def install_formats() -> None:
    """.venv-formats: other tools' libraries, with which tests open what was exported."""
    with _under_way(FORMATS):
        _make_venv(Path(sys.executable), FORMATS)
        _install(FORMATS, "formats")


def install_manifests() -> None:
    """.venv-manifests: what checks images and manifests."""
    with _under_way(MANIFESTS):
        _make_venv(Path(sys.executable), MANIFESTS)
        _install(MANIFESTS, "manifests")


def ensure_libpython() -> None:
    """Runs in .venv-triton: its own Python's library is the one that is wanted."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = f"libpython{version}.so.1.0"
    libdir = Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")
    folders = [libdir, libdir / (sysconfig.get_config_var("MULTIARCH") or ""), LIBPYTHON]
    if any((folder / name).exists() for folder in folders) or ctypes.util.find_library(f"python{version}"):
        return
    with tempfile.TemporaryDirectory() as folder:
        _say(f"taking {name} out of the package libpython{version}")
        found = list(unpacked(f"libpython{version}", Path(folder)).rglob(name))
        if not found:
            raise CannotInstall(f"Triton needs {name}: install the package libpython{version} and try again")
        LIBPYTHON.mkdir(parents=True, exist_ok=True)
        shutil.copy(found[0], LIBPYTHON / name)


@contextmanager
def _under_way(venv: Path) -> Iterator[None]:
    """One install at a time. One that was interrupted leaves a mark, and the next begins with nothing.

    What is half unpacked looks installed to every installer, so it cannot be mended in place.
    """
    with _alone(venv.resolve().parent):
        mark = venv.with_name(f"{venv.name}.installing")
        if mark.exists() and venv.exists() and not venv.is_symlink():  # a link leads to what is somebody else's
            _say(f"the last install of {venv.name} did not end; beginning anew")
            shutil.rmtree(venv)
        mark.touch()
        yield
        mark.unlink()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another install")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _make_venv(python: Path, folder: Path) -> None:
    if not (folder / "bin" / "python").exists():
        _say(f"making {folder.name} with {python}")
        _run([str(python), "-m", "venv", "--without-pip", str(folder)])


def _install(venv: Path, *locks: str, dependencies: bool = True) -> None:
    _say(f"installing {', '.join(locks)} into {venv.name}")
    words = [word for lock in locks for word in ("-r", _lock(lock))]
    how = ["--require-hashes", *([] if dependencies else ["--no-deps"])]
    python = str(venv / "bin" / "python")
    _run([str(APP / "bin" / "uv"), "pip", "install", "--quiet", "--python", python, *how, *words])


def _pip() -> list[str]:
    """A pip that acts on .venv: inside it, or run straight out of a wheel."""
    python = str(APP / "bin" / "python")
    if subprocess.run([python, "-m", "ensurepip"], capture_output=True, check=False).returncode == 0:
        return [python, "-m", "pip"]
    wheels = sorted(Path("/usr/share/python-wheels").glob("pip-*.whl"))
    if not wheels:
        _say("this Python has no pip; taking it out of the package python3-pip-whl")
        wheels = sorted(unpacked("python3-pip-whl", ROOT / "var" / "pip").rglob("pip-*.whl"))
    if not wheels:
        raise CannotInstall("this Python has no pip: install the package python3-venv and try again")
    return [python, f"{wheels[-1]}/pip"]


def unpacked(package: str, folder: Path) -> Path:
    """The files of a Debian package; nothing in the folder when it cannot be had."""
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.which("apt-get") is None or not (_download(package, folder, []) or _download_afresh(package, folder)):
        return folder
    for archive in folder.glob("*.deb"):
        _run(["dpkg-deb", "-x", str(archive), str(folder)])
    return folder


def _download_afresh(package: str, folder: Path) -> bool:
    """With package lists of our own: a slim system has none, and only root may renew the system's."""
    with tempfile.TemporaryDirectory() as lists:
        for name in ("state/lists/partial", "cache/archives/partial"):
            (Path(lists) / name).mkdir(parents=True)
        own = ["-o", f"Dir::State={lists}/state", "-o", f"Dir::Cache={lists}/cache"]
        own += ["-o", "Dir::State::status=/var/lib/dpkg/status", "-o", "APT::Sandbox::User="]
        updated = subprocess.run(["apt-get", *own, "update"], capture_output=True, check=False)
        return updated.returncode == 0 and _download(package, folder, own)


def _download(package: str, folder: Path, options: Sequence[str]) -> bool:
    command = ["apt-get", *options, "download", package]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def _python_for_triton() -> Path:
    if OLDEST <= sys.version_info[:2] <= NEWEST_FOR_TRITON:
        return Path(sys.executable)
    for name in ("python3.13", "python3.12", "python3.11"):
        if found := shutil.which(name):
            return Path(found)
    raise CannotInstall(
        f"Triton needs Python 3.11, 3.12 or 3.13 and this is {sys.version.split()[0]}: install one of them beside it,"
        " or start elsewhere a Triton of your own and name it in TRITON_URL"
    )


def _lock(name: str) -> str:
    return str(ROOT / "requirements" / f"{name}.lock")


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, check=False, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    if done.returncode != 0:
        raise CannotInstall(f"{' '.join(command[:4])} … ended with {done.returncode}")


def _say(line: str) -> None:
    sys.stdout.write(f"install  | {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        steps = {"app": install_app, "triton": install_triton, "formats": install_formats}
        {**steps, "manifests": install_manifests, "libpython": ensure_libpython}[sys.argv[1]]()
    except CannotInstall as problem:
        sys.exit(f"install  | {problem}")
    except KeyboardInterrupt:
        sys.exit("install  | interrupted; the next `make` begins this step anew")
