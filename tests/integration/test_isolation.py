"""One bad row fails alone, and says where, why and after how many attempts."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from services.api.model_runs.trace import find_trace
from services.inference.failures import ModelRejected
from services.inference.tensors import Array
from shared.object_store import content_key
from tests.support.checked import check
from tests.support.workers import MODEL, FakeTriton, Numbers, right, submit_numbers, until_ended, working
from tests.support.world import World


async def test_one_refused_row_costs_none_of_its_neighbours(world: World) -> None:
    run_id, rows = await submit_numbers(world, 16)

    async def refuse(numbers: Numbers) -> None:
        if 5 in numbers:
            raise ModelRejected("shape mismatch")

    model = FakeTriton(refuse)
    async with working(world, model):
        assert await until_ended(world, run_id) == "completed_with_errors"
    outcomes = await check(world, run_id, rows, failed={5: "model_rejected"})
    assert (outcomes[5].stage, outcomes[5].detail) == ("inference", "shape mismatch")
    assert outcomes[5].attempts == 5, "in the whole batch and each half of a half, down to itself"
    assert [len(call) for call in model.calls if 5 in call] == [16, 8, 4, 2, 1]
    assert len(model.calls) == 9


async def test_a_model_that_refuses_all_fails_each_row_by_itself(world: World) -> None:
    run_id, rows = await submit_numbers(world, 4)

    async def refuse(_: Numbers) -> None:
        raise ModelRejected("no")

    async with working(world, FakeTriton(refuse)):
        assert await until_ended(world, run_id) == "completed_with_errors"
    await check(world, run_id, rows, failed=dict.fromkeys(range(4), "model_rejected"))


@pytest.mark.parametrize("wrong", ["NaN", "a row too few", "a row too many", "a class too many", "above one"])
async def test_outputs_of_another_kind_are_never_paired_by_position(world: World, wrong: str) -> None:
    run_id, rows = await submit_numbers(world, 16)

    async def answer(numbers: Numbers) -> Array | None:
        if 7 not in numbers:
            return None
        given = right(numbers)
        return {
            "NaN": given * np.where(np.array(numbers) == 7, np.nan, 1)[:, None],
            "a row too few": given[1:],
            "a row too many": np.concatenate([given[:1], given]),
            "a class too many": np.concatenate([given, given[:, :1]], axis=1),
            "above one": given + 3,
        }[wrong]

    async with working(world, FakeTriton(answer)):
        assert await until_ended(world, run_id) == "completed_with_errors"
    outcomes = await check(world, run_id, rows, failed={7: "bad_model_output"})
    assert outcomes[7].stage == "output"


async def test_a_fault_of_ours_costs_its_row_and_never_goes_round_for_ever(world: World) -> None:
    run_id, rows = await submit_numbers(world, 20)

    async def fault(numbers: Numbers) -> None:
        if 3 in numbers:
            raise RuntimeError("a bug")

    async with working(world, FakeTriton(fault)) as running:
        assert await until_ended(world, run_id) == "completed_with_errors"
        assert running.works
    outcomes = await check(world, run_id, rows, failed={3: "internal_error"})
    assert "RuntimeError" in str(outcomes[3].detail)
    assert "a bug" not in str(outcomes[3].detail), "no exception text for users"


async def test_every_way_to_fail_says_where_why_and_how_often(world: World, tmp_path: Path) -> None:
    contents = [str(number).encode() for number in range(16)]
    contents[4] = b"\xff\xfe"
    rows = [await world.add_stored(f"row-{number}", content) for number, content in enumerate(contents)]
    objects = [tmp_path / "objects" / content_key(world.workspace_id, sha256(one).hexdigest()) for one in contents]
    objects[2].unlink()
    objects[3].unlink()
    objects[3].symlink_to(objects[3])

    async def fail(numbers: Numbers) -> Array | None:
        if 5 in numbers:
            raise ModelRejected("shape mismatch")
        if 9 in numbers:
            raise RuntimeError("a bug")
        return right(numbers) * np.nan if 7 in numbers else None

    run_id = await world.start_run(MODEL, await world.add_model(MODEL), rows)
    async with working(world, FakeTriton(fail)):
        assert await until_ended(world, run_id) == "completed_with_errors"
    expected = {
        2: ("fetch", "content_not_found"),
        3: ("fetch", "content_unreadable"),
        4: ("decode", "undecodable_text"),
        5: ("inference", "model_rejected"),
        7: ("output", "bad_model_output"),
        9: ("inference", "internal_error"),
    }
    await check(world, run_id, rows, failed={number: code for number, (_, code) in expected.items()})
    run = await world.run(run_id)
    async with world.sessions() as session:
        shown = [await find_trace(session, run, row) for row in rows]
    for number, one in enumerate(shown):
        assert one is not None
        if number not in expected:
            assert (one.state, one.code, one.attempts) == ("succeeded", None, 1)
            continue
        assert (one.state, one.stage, one.code) == ("failed", *expected[number])
        assert one.detail
        assert one.attempts == {2: 1, 3: 5, 4: 1}.get(number, one.attempts)
        assert one.segment is not None


async def test_a_row_alone_fails_after_one_attempt(world: World) -> None:
    run_id, rows = await submit_numbers(world, 1)

    async def refuse(_: Numbers) -> None:
        raise ModelRejected("no")

    async with working(world, FakeTriton(refuse)):
        assert await until_ended(world, run_id) == "completed_with_errors"
    outcomes = await check(world, run_id, rows, failed={0: "model_rejected"})
    assert outcomes[0].attempts == 1
