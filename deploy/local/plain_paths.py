"""Paths for a program that puts them into a shell command unquoted, as Triton does with its backends and models."""

import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deploy.local.service import ServiceUnusable


@dataclass(frozen=True)
class PlainPaths:
    """Folders by name. Where a shell would take one apart, `make` links to it from a folder with a plain name."""

    folders: Mapping[str, Path]
    make: Callable[[], None] | None = None
    remove: Callable[[], None] | None = None


def plain_paths(name: str, folders: Mapping[str, Path]) -> PlainPaths:
    """`name` is of one stack only."""
    if all(shlex.quote(str(folder)) == str(folder) for folder in folders.values()):
        return PlainPaths(folders)
    place = Path(tempfile.gettempdir()) / name
    links = {key: place / key for key in folders}
    return PlainPaths(links, partial(_make, place, folders), partial(_remove, place))


def _make(place: Path, folders: Mapping[str, Path]) -> None:
    _remove(place)
    try:
        place.mkdir(mode=0o700)
    except FileExistsError:
        raise ServiceUnusable(f"{place} belongs to somebody else, and Triton cannot do without it") from None
    for key, folder in folders.items():
        (place / key).symlink_to(folder)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink() and place.stat().st_uid == os.geteuid():
        shutil.rmtree(place)
