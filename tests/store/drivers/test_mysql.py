"""Connections to MariaDB."""

import ssl
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from app.store.drivers import mysql_connection
from app.store.engine import normalise_url, reader_engine
from tests.conftest import Servers


def test_certificates_are_loaded_once_for_many_connections(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading the machine's certificate authorities takes longer than all else that a connection needs."""
    engine = reader_engine(normalise_url(servers("mysql").create_empty()))
    loads: list[object] = []
    create = ssl.create_default_context

    def create_and_count(**options: Any) -> ssl.SSLContext:
        loads.append(options)
        return create(**options)

    monkeypatch.setattr(ssl, "create_default_context", create_and_count)
    monkeypatch.setattr(mysql_connection.Connection, "_unverified", None)
    with engine.connect() as first, engine.connect() as second:
        assert first.exec_driver_sql("SELECT 1").scalar() == second.exec_driver_sql("SELECT 1").scalar()
    engine.dispose()
    assert len(loads) == 1


def test_verification_that_the_url_asks_for_is_not_left_out(servers: Servers) -> None:
    """The tests' server has no TLS: a connection that must be verified is refused, another one is not encrypted."""
    url = normalise_url(servers("mysql").create_empty())
    engine = reader_engine(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW STATUS LIKE 'Ssl_cipher'").one() == ("Ssl_cipher", "")
    engine.dispose()
    engine = reader_engine(url.update_query_dict({"ssl_verify_identity": "true"}))
    with pytest.raises(OperationalError, match="SSL"):
        engine.connect()
    engine.dispose()
