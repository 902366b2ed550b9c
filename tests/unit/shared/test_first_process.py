import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import first_process


@pytest.fixture
def loading(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process whose module is still loading."""
    (tmp_path / "service.py").write_text(
        "import json, sys, time\nprint(json.dumps([__name__, *sys.argv[1:]]), flush=True)\ntime.sleep(60)\n"
    )
    root = Path(first_process.__file__).parents[1]
    command = [sys.executable, "-m", first_process.__name__, "service", "--cards", "here"]
    with subprocess.Popen(
        command, cwd=tmp_path, env={"PYTHONPATH": str(root)}, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def test_sigterm_is_heard_while_the_module_loads(loading: "subprocess.Popen[str]") -> None:
    assert loading.stdout is not None
    assert json.loads(loading.stdout.readline()) == ["__main__", "--cards", "here"]
    loading.terminate()
    # Not -SIGTERM: that default does not exist for the first process of a container.
    assert loading.wait(10) == 128 + signal.SIGTERM
