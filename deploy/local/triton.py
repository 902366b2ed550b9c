"""Triton out of the wheel nvidia-pytriton, in a virtual environment of its own.

The wheel has only the Python backend; deploy/triton/backends/onnxruntime stands in for the native ONNX Runtime one.
"""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from deploy.local.http import answers_ok, fetch_json
from deploy.local.leftovers import remove_shared_memory
from deploy.local.plain_paths import PlainPaths, plain_paths
from deploy.local.service import Probe, Service, ServiceUnusable, Stopping
from deploy.local.state import StateFolder
from deploy.triton.python_models import STANDSTILL

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = ROOT / "deploy" / "triton" / "backends" / "onnxruntime" / "model.py"

_DESCRIBE = """
import json, sysconfig
names = ("LIBDIR", "MULTIARCH", "py_version_short")
print(json.dumps({"site": sysconfig.get_path("purelib"), **{name: sysconfig.get_config_var(name) for name in names}}))
"""


@dataclass(frozen=True)
class ModelStore:
    """What `python -m deploy.triton.build` made."""

    folder: Path

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    def names(self) -> list[str]:
        return sorted(card.stem for card in (self.folder / "cards").glob("*.json"))


def triton(state: StateFolder, ports: Mapping[str, int], models: ModelStore, python: Path) -> Service:
    about = _describe(python)
    server = Path(about["site"]) / "pytriton" / "tritonserver"
    prefix = shared_memory_prefix(state)
    models.repository.mkdir(parents=True, exist_ok=True)
    backends = _backends(state, server, about["py_version_short"])
    paths = plain_paths(f"{prefix}paths", {"backends": backends, "models": models.repository})
    return Service(
        name="triton",
        command=(
            str(server / "bin" / "tritonserver"),
            f"--backend-directory={paths.folders['backends']}",
            f"--backend-config=python,shm-region-prefix-name={prefix}",
            f"--model-repository={paths.folders['models']}",
            # Every model at the start; later ones are loaded and unloaded by name.
            "--model-control-mode=explicit",
            "--load-model=*",
            # One model that does not load must not keep the others from serving.
            "--exit-on-error=false",
            "--strict-readiness=false",
            "--exit-timeout-secs=5",
            *_listen("http", ports),
            *_listen("grpc", ports),
            *_listen("metrics", ports),
        ),
        ready=_serves(f"http://127.0.0.1:{ports['triton_http']}/v2", models),
        ready_seconds=120,
        environment=_environment(about, python, state),
        stopping=Stopping(seconds=20),
        prepare=paths.make,
        sweep=partial(_sweep, prefix, paths),
    )


def shared_memory_prefix(state: StateFolder) -> str:
    """Of this state folder's Triton alone, so that its left-over regions can be told from another's."""
    return f"prelabel_{hashlib.sha256(str(state.root).encode()).hexdigest()[:10]}_"


def _sweep(prefix: str, paths: PlainPaths) -> None:
    remove_shared_memory(prefix)
    if paths.remove:
        paths.remove()


def _serves(base: str, models: ModelStore) -> Probe:
    async def ready() -> bool:
        await answers_ok(f"{base}/health/ready")()
        # It loads the models before it listens: one that is not there now will not come.
        index = await asyncio.to_thread(fetch_json, f"{base}/repository/index", method="POST")
        states = {entry["name"]: entry for entry in index}
        for name in models.names():
            if states.get(name, {}).get("state") != "READY":
                raise ServiceUnusable(
                    f"model {name} does not load: {states.get(name, {}).get('reason', 'it is missing')}"
                )
        return True

    return ready


def _listen(name: str, ports: Mapping[str, int]) -> tuple[str, str]:
    return f"--{name}-address=127.0.0.1", f"--{name}-port={ports[f'triton_{name}']}"


def _describe(python: Path) -> dict[str, Any]:
    if not python.exists():
        raise ServiceUnusable(f"there is no {python}; run `make install`")
    done = subprocess.run([str(python), "-c", _DESCRIBE], capture_output=True, text=True, check=True)
    about: dict[str, Any] = json.loads(done.stdout)
    return about


def _backends(state: StateFolder, server: Path, version: str) -> Path:
    """The folder of backends, out of parts of the wheel; the wheel itself stays as it was installed."""
    folder = state.folder("triton") / "backends"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "python").mkdir(parents=True)
    (folder / "onnxruntime").mkdir()
    # Copies: the server refuses a library that a link leads out of the folder to.
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        shutil.copyfile(server / "backends" / "python" / name, folder / "python" / name)
    stub = folder / "python" / "triton_python_backend_stub"
    shutil.copyfile(server / "python_backend_stubs" / version / stub.name, stub)
    stub.chmod(0o755)
    for code in (STAND_IN, STANDSTILL):
        shutil.copyfile(code, folder / "onnxruntime" / code.name)
    return folder


def _environment(about: Mapping[str, Any], python: Path, state: StateFolder) -> Mapping[str, str]:
    libdir = Path(about["LIBDIR"])
    libraries = [
        libdir,
        libdir / (about["MULTIARCH"] or ""),
        ROOT / "var" / "libpython",  # where `make install` puts it when the system has none
        Path(about["site"]) / "nvidia_pytriton.libs",
    ]
    return {
        "LD_LIBRARY_PATH": os.pathsep.join(str(folder) for folder in libraries),
        "PYTHONPATH": about["site"],
        # The stub finds its standard library by the `python3` that comes first.
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
