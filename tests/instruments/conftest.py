"""A server with every instrument."""

from collections.abc import Iterator

import pytest

from tests.conftest import Server
from tests.instruments.serving import serve_instruments


@pytest.fixture(scope="package")
def instruments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve_instruments(tmp_path_factory.mktemp("instruments")) as server:
        yield server
