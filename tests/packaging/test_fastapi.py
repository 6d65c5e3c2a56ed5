"""examples/fastapi with the installed wheel, without the extra `server`."""

from pathlib import Path

import pytest

from tests.examples.test_fastapi_example import served
from tests.packaging.conftest import link

pytestmark = pytest.mark.xdist_group("wheel")


def test_example_runs_with_the_wheel(unpacked: Path, tmp_path: Path) -> None:
    environment = link(unpacked, tmp_path, "stepkeep", "fastapi", "uvicorn")
    with served(tmp_path, None, environment.bin / "python") as (client, _):
        saved = client.put("/baskets/ada", json={"current_step": "payment", "answers": {"book": 3}})
        assert saved.json() == {"saved": True}
        answer = client.post("/surveys/phq9/ada/answers", json={"id": "one", "step": "Q1", "value": 2})
        assert answer.json() == {"version": 2, "duplicate": False, "current_step": "Q2"}
