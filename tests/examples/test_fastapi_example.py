"""examples/fastapi on uvicorn: what its endpoints save, and what a killed server has committed."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT, SURVEYS
from tests.databases import create_sqlite
from tests.waiting import free_port, wait_for

EXAMPLE = ROOT / "examples" / "fastapi"


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder in which the checkout's package has the wheel's name."""
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "stepkeep").symlink_to(ROOT / "app", target_is_directory=True)
    return folder


def test_endpoints_save_load_and_answer(tmp_path: Path, packages: Path) -> None:
    """An answer that is sent again, also to the next server, is applied once; the survey's rules refuse others."""
    reply = {"id": "one", "step": "Q1", "value": 2}
    answers = "/surveys/phq9/ada/answers"
    basket = {"current_step": "payment", "answers": {"book": 3}}
    with served(tmp_path, packages) as (client, process):
        assert client.get("/baskets/ada").status_code == 404
        assert client.put("/baskets/ada", json=basket).json() == {"saved": True}
        assert client.post(answers, json=reply).json() == {"version": 2, "duplicate": False, "current_step": "Q2"}
        refused = client.post(answers, json={"id": "two", "step": "Q2", "value": 9})
        assert (refused.status_code, refused.json()["detail"]["code"]) == (422, "invalid_answer")
        missing = client.post("/surveys/none/ada/answers", json=reply)
        assert (missing.status_code, missing.json()["code"]) == (404, "no_such_survey")
        process.kill()
    with served(tmp_path, packages) as (client, process):
        assert client.get("/baskets/ada").json() == basket
        assert client.post(answers, json=reply).json() == {"version": 2, "duplicate": True, "current_step": "Q2"}
        process.terminate()
        assert process.wait(60) in {0, -15}


@contextlib.contextmanager
def served(
    folder: Path, packages: Path | None, python: Path | None = None
) -> Iterator[tuple[httpx.Client, "subprocess.Popen[bytes]"]]:
    """Run the example, and yield a client of it and its process.

    Args:
        python: of an environment in which the wheel is installed.
    """
    port = free_port()
    log = folder / "service.log"
    environment = {
        **os.environ,
        "PYTHONPATH": f"{EXAMPLE}" if packages is None else f"{packages}:{EXAMPLE}",
        "DATABASE_URL": f"sqlite:///{folder}/service.db",
        "STEPKEEP_SURVEYS_DIR": str(SURVEYS),
    }
    if not (folder / "service.db").exists():
        create_sqlite(folder / "service.db")
    with log.open("ab") as output:
        process = subprocess.Popen(
            [python or sys.executable, "-m", "uvicorn", "service:app", "--port", str(port)],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
        )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:

        def responds() -> bool:
            assert process.poll() is None, log.read_text()
            with contextlib.suppress(httpx.TransportError):
                return client.get("/openapi.json").status_code == 200
            return False

        try:
            wait_for(responds, lambda: f"The example did not answer:\n{log.read_text()[-4000:]}")
            yield client, process
        finally:
            process.kill()
            process.wait()
