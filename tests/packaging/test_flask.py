"""examples/flask with the installed wheel."""

from pathlib import Path

import pytest

from tests.examples.clinic import ClinicServer
from tests.packaging.conftest import Environment

pytestmark = pytest.mark.xdist_group("wheel")


@pytest.mark.long
def test_example_runs_with_the_wheel(served: Environment, tmp_path: Path) -> None:
    """On gunicorn, with Stepkeep's worker: its pages, templates and static files are in the wheel."""
    clinic = ClinicServer(tmp_path, "gunicorn", served.bin / "python")
    try:
        clinic.start()
        with clinic.signed_in("ada") as ada, clinic.signed_in("admin") as admin:
            assert "(not begun)" in ada.get("/").text
            assert 'data-user-id="ada"' in ada.get("/surveys/s/wellbeing").text
            assert ada.get("/surveys/assets/style.css").status_code == 200
            assert admin.get("/surveys/dashboard").status_code == 200
    finally:
        clinic.kill()
