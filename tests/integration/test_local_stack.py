"""The real servers under the real supervisor: what they answer, and what every way to end them leaves behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import asyncpg
import numpy as np
import pytest
import tritonclient.grpc as triton
from PIL import Image

from deploy.local.control import StackProcess
from deploy.local.processes import ProcessIdentity, started_for
from deploy.local.running import StackFailed
from deploy.local.stack import ROOT, Addresses, StackOptions
from deploy.local.state import StateFolder
from deploy.local.triton import shared_memory_prefix
from deploy.triton.build import read_cards
from tests.support.servers import MODELS, PICTURES

CARDS = {card.slug: card for card in read_cards()}
CATS = {"tabby", "tiger cat", "Egyptian cat", "Persian cat", "Siamese cat"}


@pytest.fixture(scope="session")
def few_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one small model: for how servers start and end it does not matter how many they serve."""
    store = tmp_path_factory.mktemp("models")
    name = next((MODELS / "cards").glob("detect-faces-*")).stem
    shutil.copytree(MODELS / "repository" / name, store / "repository" / name)
    (store / "cards").mkdir()
    shutil.copy(MODELS / "cards" / f"{name}.json", store / "cards")
    return store


@pytest.fixture
def options(few_models: Path) -> Iterator[StackOptions]:
    state = ROOT / "var" / "test" / f"local-{os.getpid()}"
    options = StackOptions(state, few_models, free_ports=True, servers_only=True)
    yield options
    StackProcess(options).remove()


@pytest.fixture
def stack(options: StackOptions) -> Iterator[StackProcess]:
    with StackProcess(options) as stack:
        yield stack


def test_detector_and_classifier_know_a_cat(servers: Addresses) -> None:
    detector, classifier = CARDS["detect-nanodet"], CARDS["classify-efficientnet"]
    with triton.InferenceServerClient(servers.triton_url) as client:
        found = _infer(client, detector.slug, _letterbox(_picture("chelsea.png"), 416), ["classes", "scores"])
        assert detector.classes[found["classes"][0, 0]] == "cat"
        assert found["scores"][0, 0] > 0.5
        said = _infer(client, classifier.slug, _center_crop(_picture("chelsea.png"), 224), ["probabilities"])
        assert classifier.classes[said["probabilities"][0].argmax()] in CATS
        assert said["probabilities"].sum() == pytest.approx(1, abs=1e-3)


def test_a_batch_answers_as_its_parts(servers: Addresses) -> None:
    detector = CARDS["detect-nanodet"]
    cat, person = (_letterbox(_picture(name), 416) for name in ("chelsea.png", "astronaut.png"))
    with triton.InferenceServerClient(servers.triton_url) as client:
        both = _infer(client, detector.slug, np.concatenate([cat, person]), ["boxes", "classes"])
        alone = [_infer(client, detector.slug, picture, ["boxes", "classes"]) for picture in (cat, person)]
    assert [detector.classes[row[0]] for row in both["classes"]] == ["cat", "person"]
    for index, one in enumerate(alone):
        np.testing.assert_allclose(both["boxes"][index], one["boxes"][0], atol=0.01)


def test_a_request_of_the_wrong_shape_is_refused_alone(servers: Addresses) -> None:
    detector = CARDS["detect-nanodet"]
    with triton.InferenceServerClient(servers.triton_url) as client:
        with pytest.raises(triton.InferenceServerException, match="shape"):
            _infer(client, detector.slug, np.zeros((1, 10, 10, 3), np.uint8), ["boxes"])
        assert _infer(client, detector.slug, np.zeros((1, 416, 416, 3), np.uint8), ["boxes"])["boxes"].shape == (
            1,
            200,
            4,
        )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing(stack: StackProcess, options: StackOptions, number: int) -> None:
    supervisor = stack.status().supervisor
    os.kill(supervisor.pid, number)
    _wait_until_gone(options, supervisor)
    assert stack.status().phase == "stopped"


def test_a_killed_supervisor_leaves_nothing(stack: StackProcess, options: StackOptions) -> None:
    os.kill(stack.status().supervisor.pid, signal.SIGKILL)
    _wait_until_gone(options)


def test_it_stops_with_whoever_started_it(options: StackOptions) -> None:
    program = (
        "import sys; from pathlib import Path; from deploy.local.control import *\n"
        "StackProcess(StackOptions(*map(Path, sys.argv[1:]), free_ports=True, servers_only=True)).start()\n"
        "print('started', flush=True); import time; time.sleep(60)"
    )
    line = [sys.executable, "-c", program, str(options.state), str(options.models)]
    starter = subprocess.Popen(line, stdout=subprocess.PIPE, cwd=ROOT)
    assert starter.stdout is not None
    with starter.stdout:
        assert starter.stdout.readline() == b"started\n"
        starter.kill()
        starter.wait()
    _wait_until_gone(options)


@pytest.mark.parametrize("words", [(), ("--detach",)])
def test_an_interrupted_start_has_stopped_when_its_command_ends(options: StackOptions, words: tuple[str, ...]) -> None:
    code, said = _interrupted(options, *words)
    if words and "running; " in said:  # a busy machine told us too late: it was ready
        _local(options, "down")
    else:
        assert code != 0 or not words
    assert list(started_for(options.state)) == []
    assert _local(options, "down").stdout == "nothing is running\n"


def _interrupted(options: StackOptions, *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "deploy.local", "up", "--state", str(options.state), "--free-ports", *words]
    starting = subprocess.Popen([*command, "--servers-only"], stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert starting.stdout is not None
    with starting.stdout:
        # The quickest of the servers: the others are still to come.
        assert any("valkey ready" in line for line in starting.stdout), "it came as far as that"
        starting.send_signal(signal.SIGINT)
        said = starting.stdout.read()
    return starting.wait(), said


def test_commands_wait_for_a_stack_that_starts_or_stops(options: StackOptions) -> None:
    up = [sys.executable, "-m", "deploy.local", "up", "--state", str(options.state), "--free-ports", "--servers-only"]
    with subprocess.Popen([*up, "--quiet"], cwd=ROOT, stdout=subprocess.DEVNULL) as first:
        state = StateFolder.at(options.state)
        deadline = time.monotonic() + 30
        while not ((status := state.status()) and status.phase == "starting") and time.monotonic() < deadline:
            time.sleep(0.01)
        found = _local(options, "run", "--", "env")
        assert "which is starting" in found.stderr
        assert "DATABASE_URL=" in found.stdout
        assert first.poll() is None, "the stack that was starting was used, and goes on"
        first.send_signal(signal.SIGTERM)
        while (status := state.status()) and status.phase == "ready" and time.monotonic() < deadline:
            time.sleep(0.01)
        # On a busy machine it has stopped before `down` looks; on an idle one `down` tells what it waits for.
        assert _local(options, "down").stdout.endswith(("stopped\n", "nothing is running\n"))
        assert first.wait(1) == 0
    _wait_until_gone(options)


def test_logs_end_with_their_reader_and_know_the_services(stack: StackProcess, options: StackOptions) -> None:
    command = [sys.executable, "-m", "deploy.local", "logs", "--follow", "--state", str(options.state)]
    for read in (0, 1):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reading:
            assert reading.stdout is not None
            assert reading.stderr is not None
            assert all("|" in reading.stdout.readline() for _ in range(read))
            reading.stdout.close()
            assert reading.wait(20) == 0
            assert reading.stderr.read() == ""
    unknown = _local(options, "logs", "nonsense")
    assert unknown.returncode == 2
    assert "postgres, supervisor, triton, valkey" in unknown.stderr


async def test_after_a_kill_of_everything_it_starts_again_with_its_data(
    stack: StackProcess, options: StackOptions
) -> None:
    await _execute(stack.addresses, "CREATE TABLE kept AS SELECT 42 AS answer")
    before, regions = stack.addresses, set(_shared_memory(options))
    assert regions, "each model has a region while it is served"
    stack.kill()
    assert regions <= set(_shared_memory(options)), "nobody was left who could remove them"
    assert stack.start() == before, "ports and passwords are those of the first start"
    assert await _execute(before, "SELECT answer FROM kept") == 42
    assert not regions & set(_shared_memory(options)), "what the killed server left is swept"


def test_killed_servers_are_started_again(stack: StackProcess) -> None:
    names = ("postgres", "valkey", "triton")
    stack.kill(*names)
    for name in names:
        stack.wait_until_ready(name, restarts=1)


def test_two_stacks_cannot_share_a_state_folder(stack: StackProcess, options: StackOptions) -> None:
    with pytest.raises(StackFailed, match=f"running on {options.state} already"):
        StackProcess(options).start()
    assert stack.status().phase == "ready"


def test_a_model_that_does_not_load_is_named(options: StackOptions, tmp_path: Path) -> None:
    broken = shutil.copytree(options.models, tmp_path / "models")
    (name,) = (folder.name for folder in (broken / "repository").iterdir())
    (broken / "repository" / name / "1" / "model.onnx").write_bytes(b"not a model")
    broken_options = StackOptions(options.state, broken, free_ports=True, servers_only=True)
    with pytest.raises(StackFailed, match=f"model {name} does not load"):
        StackProcess(broken_options).start()
    _wait_until_gone(options)


def test_the_commands(options: StackOptions) -> None:
    local = partial(_local, options)
    assert "nothing is running" in local("down").stdout
    region = Path(f"/dev/shm/{shared_memory_prefix(StateFolder.at(options.state))}left-by-a-killed-one")
    region.touch()
    assert "nothing is running" in local("down").stdout
    assert not region.exists()
    started = local("up", "--detach", "--servers-only", "--free-ports", "--models", str(options.models))
    assert started.returncode == 0, started.stderr
    try:
        assert "triton       ready" in local("status").stdout
        assert "DATABASE_URL=postgresql://" in local("run", "--", "env").stdout
        assert "Started GRPCInferenceService" in local("logs", "triton", "--lines", "50").stdout
    finally:
        assert "stopped" in local("down").stdout
    assert local("status").returncode == 1
    _wait_until_gone(options)


def _local(options: StackOptions, command: str, *words: str) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "deploy.local", command, "--state", str(options.state), *words]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)


def _wait_until_gone(options: StackOptions, *supervisors: ProcessIdentity) -> None:
    """No process and no shared memory of this stack."""

    def left() -> list[object]:
        alive = [supervisor for supervisor in supervisors if supervisor.alive()]
        return [*alive, *started_for(options.state), *_shared_memory(options)]

    deadline = time.monotonic() + 20
    while left() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left() == []


def _shared_memory(options: StackOptions) -> list[Path]:
    return list(Path("/dev/shm").glob(f"{shared_memory_prefix(StateFolder.at(options.state))}*"))


async def _execute(addresses: Addresses, statement: str) -> object:
    connection = await asyncpg.connect(addresses.database_url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def _infer(
    client: triton.InferenceServerClient, slug: str, images: np.ndarray, outputs: list[str]
) -> dict[str, np.ndarray]:
    name = next((MODELS / "repository").glob(f"{slug}-*")).name
    tensor = triton.InferInput("images", list(images.shape), "UINT8")
    tensor.set_data_from_numpy(images)
    answer = client.infer(name, [tensor])
    return {output: answer.as_numpy(output) for output in outputs}


def _picture(name: str) -> Image.Image:
    return Image.open(PICTURES / name).convert("RGB")


def _letterbox(picture: Image.Image, side: int) -> np.ndarray:
    ratio = side / max(picture.size)
    small = picture.resize((round(picture.width * ratio), round(picture.height * ratio)))
    canvas = Image.new("RGB", (side, side))
    canvas.paste(small, ((side - small.width) // 2, (side - small.height) // 2))
    return np.asarray(canvas)[None]


def _center_crop(picture: Image.Image, side: int) -> np.ndarray:
    crop = int(min(picture.size) * 0.875)
    left, top = (picture.width - crop) // 2, (picture.height - crop) // 2
    return np.asarray(picture.crop((left, top, left + crop, top + crop)).resize((side, side)))[None]
