"""Regions: lent, given back by themselves, limited, and gone with their process however it ends."""

import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from services.inference.inputs.batch import BatchMemory
from services.inference.shared_memory import PREFIX, WORTH_BYTES, SharedMemory, sweep
from services.inference.tensors import Array
from tests.support.waiting import until

_SIZE = 256 * 1024
_HOLDS = """
import sys
from pathlib import Path
from services.inference.shared_memory import SharedMemory
memory = SharedMemory(2**24, Path(sys.argv[1]))
held = [memory.lend(2**17) for _ in range(3)]
print(len(memory.sizes()), flush=True)
sys.stdin.read()
{end}
"""


@pytest.fixture
def memory(tmp_path: Path) -> SharedMemory:
    return SharedMemory(8 * _SIZE, tmp_path)


def lent(memory: SharedMemory, size: int = _SIZE) -> Array:
    array = memory.lend(size)
    assert array is not None
    return array


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def region(memory: SharedMemory, array: Array) -> str:
    place = memory.place(array)
    assert place is not None
    return place.region


def test_what_is_written_stands_in_the_file(memory: SharedMemory, tmp_path: Path) -> None:
    array = lent(memory)
    array[100:104] = [1, 2, 3, 4]
    place = memory.place(array[100:104])
    assert place is not None
    assert (place.offset, place.byte_size) == (100, 4)
    assert (tmp_path / place.region).read_bytes()[100:104] == bytes([1, 2, 3, 4])
    assert memory.sizes() == {place.region: _SIZE}


def test_what_lies_elsewhere_or_in_pieces_has_no_place(memory: SharedMemory) -> None:
    array = lent(memory)
    assert memory.place(array[::2]) is None
    assert memory.place(array[:0]) is None
    assert memory.place(array.copy()) is None


def test_a_region_comes_back_when_the_last_part_of_it_is_gone(memory: SharedMemory) -> None:
    array = lent(memory)
    first = region(memory, array)
    part = array[64:128].view(np.float32).reshape(4, 4)[1:]
    del array
    other = lent(memory)
    assert region(memory, other) != first, "a part of it is still used"
    del part
    assert region(memory, lent(memory)) == first


def test_there_are_no_more_than_the_limit(memory: SharedMemory, tmp_path: Path) -> None:
    held = [lent(memory) for _ in range(8)]
    assert memory.lend(_SIZE) is None
    assert len(names(tmp_path)) == 8
    del held
    larger = lent(memory, 7 * _SIZE)
    assert larger.nbytes == 7 * _SIZE, "smaller ones made room"
    assert memory.lend(9 * _SIZE) is None


def test_little_is_not_worth_it(memory: SharedMemory) -> None:
    assert memory.lend(WORTH_BYTES - 1) is None
    assert memory.lend(WORTH_BYTES) is not None


def test_a_suspected_region_rests_before_it_is_used_no_more(tmp_path: Path) -> None:
    memory = SharedMemory(8 * _SIZE, tmp_path, rest_seconds=3600)
    array = lent(memory)
    first = region(memory, array)
    memory.suspect(first)
    del array
    others = [lent(memory) for _ in range(7)]
    assert first not in {region(memory, one) for one in others}
    assert memory.lend(_SIZE) is None, "it counts while it rests"
    assert first in names(tmp_path)


def test_a_rested_region_is_removed(tmp_path: Path) -> None:
    memory = SharedMemory(8 * _SIZE, tmp_path, rest_seconds=0)
    array = lent(memory)
    first = region(memory, array)
    memory.suspect(first)
    del array
    assert region(memory, lent(memory)) != first
    assert first not in names(tmp_path)
    assert first not in memory.sizes()


def test_a_full_folder_lends_nothing(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    free = found.f_bavail * found.f_frsize
    memory = SharedMemory(4 * free, tmp_path)
    assert memory.lend(free // 2 + (1 << 30)) is None
    assert names(tmp_path) == set()


@pytest.mark.parametrize("folder", ["/proc", "/not/there"])
def test_a_folder_that_takes_no_files_lends_nothing(folder: str) -> None:
    memory = SharedMemory(8 * _SIZE, Path(folder))
    assert memory.lend(_SIZE) is None
    memory.close()


def test_closed_it_leaves_nothing_and_what_was_lent_stays_valid(memory: SharedMemory, tmp_path: Path) -> None:
    array = lent(memory)
    array[:] = 7
    memory.close()
    assert names(tmp_path) == set()
    assert (array == 7).all()
    assert memory.lend(_SIZE) is None
    assert memory.place(array) is None


@pytest.mark.parametrize("end", ["", "raise SystemExit(3)", "raise RuntimeError"])
def test_a_process_that_ends_leaves_nothing(tmp_path: Path, end: str) -> None:
    process = _holding(tmp_path, end)
    assert len(names(tmp_path)) == 3
    process.communicate()
    assert names(tmp_path) == set()


async def test_what_a_killed_process_left_is_swept_and_what_a_living_one_holds_stays(tmp_path: Path) -> None:
    killed, living = _holding(tmp_path), _holding(tmp_path)
    (tmp_path / "of-another-program").write_text("stays")
    process_ids = {f"{PREFIX}{process.pid}-": process for process in (killed, living)}
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    sweep(tmp_path)
    left = {name for name in names(tmp_path) if name.startswith(PREFIX)}
    assert len(left) == 3
    assert {process_ids[f"{name.rpartition('-')[0]}-"].pid for name in left} == {living.pid}
    assert (tmp_path / "of-another-program").exists()
    living.communicate()
    await until(lambda: names(tmp_path) == {"of-another-program"})


def test_all_inputs_of_a_group_lie_in_one_region_but_for_texts(memory: SharedMemory) -> None:
    batch = BatchMemory(4, memory)
    shapes = {"ids": (10_000,), "mask": (10_000,), "odd": (3,), "text": (1,)}
    slots = batch.row({"ids": "INT64", "mask": "INT64", "odd": "UINT8", "text": "BYTES"}, shapes)
    places = {name: memory.place(slot) for name, slot in slots.items()}
    assert places["text"] is None
    numeric = [place for name, place in places.items() if name != "text" and place is not None]
    assert len(numeric) == 3
    assert len({place.region for place in numeric}) == 1
    ends = sorted((place.offset, place.offset + 4 * place.byte_size) for place in numeric)
    assert all(end <= start for (_, end), (start, _) in pairwise(ends)), "none over another"
    assert all(slot.dtype == kind for slot, kind in zip(slots.values(), ("i8", "i8", "u1", "O"), strict=True))


def _holding(folder: Path, end: str = "") -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDS.format(end=end), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"3"
    return process
