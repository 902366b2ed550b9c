"""`python -m deploy.containers.build --python IMAGE@sha256:… --triton IMAGE@sha256:…`: the images, by what is there.

That is buildah, podman or docker; none needs to be root. Nothing is pushed.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("api", "inference", "notifier", "migrate", "models", "triton")
_BUILDERS = ("buildah", "podman", "docker")
_PINNED = re.compile(r".+@sha256:[0-9a-f]{64}|localhost/.+")
_TRITON_RELEASE = re.compile(r":(\d\d)\.(\d\d)-")
_OLDEST_TRITON = (25, 7)
"""Those before have known holes."""


def main() -> int:
    given = _arguments()
    builder = next(filter(None, map(shutil.which, _BUILDERS)), None)
    if builder is None:
        return _refuse(f"none of {', '.join(_BUILDERS)} is here")
    wanted: Sequence[str] = given.stages or STAGES
    if unknown := set(wanted) - set(STAGES):
        return _refuse(f"no stage {', '.join(sorted(unknown))}; there are {', '.join(STAGES)}")
    for name in ("python", *(["triton"] if "triton" in wanted else [])):
        if not _PINNED.fullmatch(getattr(given, name) or ""):
            return _refuse(f"--{name} names an image by its digest: {name}:…@sha256:…")
    release = _TRITON_RELEASE.search(given.triton or "")
    if release and (int(release[1]), int(release[2])) < _OLDEST_TRITON:
        return _refuse(f"Triton {release[1]}.{release[2]} has known holes; take 25.07 or newer")
    for stage in wanted:
        # A stage that nobody asks for is not built, but each FROM must have a name.
        arguments = {"PYTHON": given.python, "TRITON": given.triton or given.python}
        words = [word for name, image in arguments.items() for word in ("--build-arg", f"{name}={image}")]
        tag = f"{given.registry}/{stage}:{given.tag}"
        command = [builder, "build", "--file", "deploy/containers/Containerfile", "--target", stage, "--tag", tag]
        if code := subprocess.run([*command, *words, "."], cwd=ROOT, check=False).returncode:
            return code
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.containers.build", description=__doc__)
    parser.add_argument("stages", nargs="*", help=f"{', '.join(STAGES)}; all when left out")
    parser.add_argument("--python", help="a Debian image with Python 3.11 or newer")
    parser.add_argument("--triton", help="an image of Triton Inference Server 25.07 or newer, with its Python 3.12")
    parser.add_argument("--registry", default="localhost/prelabel", help="what the images' names begin with")
    parser.add_argument("--tag", default="dev")
    return parser.parse_args()


def _refuse(why: str) -> int:
    sys.stderr.write(f"images   | {why}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
