"""Every setting, with its unit, range, default and environment variable.

Read once, at start, into a frozen object that is passed down; nothing reads the environment later.
A value that can't be used stops the start with :class:`~app.errors.ConfigurationError`, naming
the variable.
"""

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from .core.formats import DURATION, RATE, SURVEY_ID, problem_of
from .errors import ConfigurationError

Rate = Annotated[str, Field(pattern=RATE)]
Duration = Annotated[str, Field(pattern=DURATION)]


class Settings(BaseSettings):
    """What an operator may set. The environment variable is the field's name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    environment: Literal["production", "development"] = Field(
        "production", description="`production`, or `development`: no credentials, on this machine alone"
    )
    secret_key: SecretStr = Field(
        SecretStr(""), description="signs tokens: 32 characters or more, random; `production` does not start without"
    )
    secret_key_fallbacks: SecretStr = Field(
        SecretStr(""), description="earlier secret keys, separated by commas: what they signed still holds"
    )
    public_url: Annotated[str, Field(pattern=r"^([hH][tT][tT][pP][sS]?://[^/?#@\s]+)?$")] = Field(
        "", description="address at which participants reach the server, e.g. https://survey.example.org"
    )
    proxies: Annotated[int, Field(ge=0, le=10)] = Field(
        0, description="proxies in front of the server whose X-Forwarded headers are believed"
    )
    token_days: Annotated[float, Field(gt=0, le=3650)] = Field(
        90.0, description="days without a visit after which a participant's resume token expires"
    )
    link_hours: Annotated[float, Field(gt=0, le=8760)] = Field(
        24.0, description="hours for which a link to go on with another device holds"
    )
    host: str = Field("127.0.0.1", description="address that `make run` binds to")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(8000, description="port that `make run` binds to")
    database_url: str = Field("sqlite:///survey_sessions.db", description="SQLAlchemy URL of the database")
    answers_keys: SecretStr = Field(
        SecretStr(""),
        description="keys that encrypt answers at rest, base64 of 32 bytes each, by commas; the first encrypts",
    )
    erasures_file: Path | None = Field(
        None, description="list of erasures that outlives a restored backup; with SQLite else beside the database"
    )
    surveys_dir: Path = Field(Path("surveys"), description="folder with the survey files")
    default_survey: Annotated[str | None, Field(pattern=SURVEY_ID)] = Field(
        None, description="the survey meant where none is named; else the only survey of the folder"
    )
    expires_after: Duration | None = Field(
        None,
        description="an unfinished session of a survey that doesn't say so expires this long after its last change",
    )
    retention: Duration | None = Field(
        None, description="a session of a survey that doesn't say so is erased this long after its last change"
    )
    maintenance_minutes: Annotated[float, Field(ge=0, le=10_080)] = Field(
        0.0,
        description="minutes between two rounds that close expired sessions and erase those past retention; 0: none",
    )
    archive_dir: Path | None = Field(
        None, description="folder into which the rounds write the history of sessions before they erase them"
    )
    webhook_attempts: Annotated[int, Field(ge=1, le=50)] = Field(
        12, description="attempts to deliver a webhook, over about three days, before it is given up until a replay"
    )
    webhook_timeout_s: Annotated[float, Field(gt=0, le=60)] = Field(
        15.0, description="seconds that a webhook's receiver has for its answer"
    )
    webhook_private_networks: bool = Field(
        False, description="whether webhooks may go to addresses that are not public; in development they may"
    )
    web_concurrency: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, description="server processes on this machine; with SQLite always one"
    )
    max_connections: Annotated[int, Field(ge=1, le=20_000)] = Field(
        1000, description="WebSocket connections at once; one more is closed with 1013"
    )
    rest_threads: Annotated[int, Field(ge=1, le=1000)] = Field(
        24, description="threads kept free of WebSockets, for REST and the pages"
    )
    allowed_origins: str = Field("", description="further origins whose pages may open the socket, separated by commas")
    messages_per_second: Annotated[float, Field(gt=0, le=100_000)] = Field(
        100.0, description="messages a second on one connection, in the long run; more closes it with 4429"
    )
    message_burst: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        1000, description="messages that one connection may send at once before the rate counts"
    )
    participant_sockets: Annotated[int, Field(ge=1, le=20_000)] = Field(
        20, description="connections that one participant may have open on one server process; in production"
    )
    address_sockets: Annotated[int, Field(ge=1, le=20_000)] = Field(
        300, description="connections that one address may have open on one server process; in production"
    )
    participant_connections: Rate = Field(
        "120/minute", description="connections that one participant may open; in production"
    )
    address_connections: Rate = Field("1200/minute", description="connections that one address may open; in production")
    participant_messages: Rate = Field(
        "6000/minute", description="messages that one participant may send, over all connections; in production"
    )
    address_messages: Rate = Field(
        "60000/minute", description="messages that one address may send, over all connections; in production"
    )
    address_requests: Rate = Field(
        "6000/minute", description="REST requests and pages that one address may ask for; in production"
    )
    address_failures: Rate = Field(
        "30/minute", description="credentials that don't hold that one address may show; in production"
    )
    malformed_limit: Annotated[int, Field(ge=1, le=100_000)] = Field(
        20, description="malformed messages in a row after which a connection is closed with 4400"
    )
    ping_interval_s: Annotated[float, Field(gt=0, le=300)] = Field(20.0, description="seconds between WebSocket pings")
    draft_interval_s: Annotated[float, Field(gt=0, le=30)] = Field(
        15.0, description="seconds after which a changed draft is saved, at most"
    )
    queue_limit: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10_000, description="commands that may wait to be saved; one more waits for room"
    )
    queue_timeout_s: Annotated[float, Field(gt=0, le=600)] = Field(
        30.0, description="seconds that a command waits for room or for its turn before it is refused as overloaded"
    )
    batch_limit: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1000, description="commands that are committed together, at most"
    )
    retry_attempts: Annotated[int, Field(ge=1, le=20)] = Field(
        3, description="attempts at a transaction that fails for a reason that may pass"
    )
    retry_delay_s: Annotated[float, Field(ge=0, le=60)] = Field(
        0.5, description="seconds before the second attempt; doubles for each further one, with jitter"
    )
    retry_delay_max_s: Annotated[float, Field(ge=0, le=600)] = Field(
        30.0, description="seconds between two attempts, at most"
    )
    pending_after_s: Annotated[float, Field(gt=0, le=60)] = Field(
        2.0, description="seconds that a participant's command waits for its commit before it is accepted as pending"
    )
    pending_limit: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10_000, description="commands that are kept in memory while the database is away; one more closes with 1013"
    )
    pending_mib: Annotated[int, Field(ge=1, le=65_536)] = Field(
        64, description="MiB of answers that are kept in memory while the database is away; more closes with 1013"
    )
    redis_url: str | None = Field(
        None, description="Redis through which several server processes tell each other of changes; else the database"
    )
    news_interval_s: Annotated[float, Field(gt=0, le=60)] = Field(
        0.5, description="seconds between two looks for changes by other processes, where nothing tells of them"
    )
    metrics_dir: Path | None = Field(
        None, description="folder in which several server processes share their metrics; made where it is missing"
    )
    tracing: bool = Field(
        False, description="whether traces are sent as OTEL_EXPORTER_OTLP_ENDPOINT says; wants the extra `tracing`"
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="`json`, `text` to be read by people, or `auto`: JSON in production"
    )
    log_level: Annotated[str, Field(pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")] = Field(
        "INFO", description="DEBUG, INFO, WARNING or ERROR"
    )

    @field_validator("public_url", mode="before")
    @classmethod
    def _without_slash(cls, url: object) -> object:
        """Take the end off an address that was copied from a browser."""
        return url.removesuffix("/") if isinstance(url, str) else url

    @field_validator("public_url")
    @classmethod
    def _as_browsers_write_it(cls, url: str) -> str:
        """Return it in lower case and without the scheme's own port, as it stands in Host and Origin."""
        scheme, _, host = url.lower().partition("://")
        return f"{scheme}://{host.removesuffix({'https': ':443', 'http': ':80'}.get(scheme, ' '))}" if url else url


def read_settings() -> Settings:
    """Return the settings that the environment gives, or files of their names in the folder SECRETS_DIR.

    Raises:
        ConfigurationError: a variable has a value that can't be used; the message names each.
    """
    folder = os.environ.get("SECRETS_DIR") or None
    if folder is not None and not Path(folder).is_dir():
        raise ConfigurationError(f"SECRETS_DIR: there is no folder {folder!r}")
    try:
        return Settings(_secrets_dir=folder)
    except ValidationError as error:
        # The values stay out of the message: DATABASE_URL holds a password.
        problems = "; ".join(
            f"{str(fault['loc'][0]).upper()}: {problem_of(fault)}" for fault in error.errors(include_input=False)
        )
        raise ConfigurationError(f"settings in the environment can't be used: {problems}") from None


def is_loopback(host: str) -> bool:
    """Return whether the name or address is of this machine alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
