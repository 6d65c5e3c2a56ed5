"""Every setting: type, range, default, description and environment variable."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from .core.formats import DURATION, ORIGIN, RATE, SCHEMA, SURVEY_ID, is_address, normalize_origin, validation_message
from .errors import ConfigurationError

PREFIX = "STEPKEEP_"

SECRETS_DIR = f"{PREFIX}SECRETS_DIR"
"""Folder with a file per variable; the environment takes precedence."""

WELL_KNOWN = frozenset({"database_url", "host", "port", "redis_url", "secret_key", "web_concurrency"})
"""Also read without the prefix; the variable with it takes precedence."""

GENERIC = frozenset({"environment", "log_format", "log_level", "tracing"})
"""Often another program's variables without the prefix: no warning."""

Rate = Annotated[str, Field(pattern=RATE)]
Duration = Annotated[str, Field(pattern=DURATION)]


def _well_known(name: str) -> AliasChoices:
    return AliasChoices(f"{PREFIX}{name}".lower(), name)


_ALIASES = {"database_schema": f"{PREFIX}schema".lower()}  # `schema` is a method of pydantic's models


class Settings(BaseSettings):
    """The settings; their variables are ``STEPKEEP_`` and the field's name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True, validate_by_name=True
    )

    environment: Literal["production", "development"] = Field(
        "production",
        description="`production`, or `development`: no authentication, and only clients on this machine are served",
    )
    secret_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=_well_known("secret_key"),
        description="key that signs tokens and the audit log: at least 32 random characters; required in production",
    )
    secret_key_fallbacks: SecretStr = Field(
        SecretStr(""), description="earlier secret keys, comma-separated; what they signed remains valid"
    )
    public_url: Annotated[str, Field(pattern=r"^([hH][tT][tT][pP][sS]?://[^/?#@\s]+)?$")] = Field(
        "",
        description="URL at which participants reach the server, e.g. `https://survey.example.org`; requests for "
        "another host are refused",
    )
    proxies: Annotated[int, Field(ge=0, le=10)] = Field(
        0, description="number of reverse proxies in front of the server whose `X-Forwarded-*` headers are trusted"
    )
    token_days: Annotated[float, Field(gt=0, le=3650)] = Field(
        90.0, description="days without a visit after which a participant's resume token expires"
    )
    link_hours: Annotated[float, Field(gt=0, le=8760)] = Field(
        24.0, description="hours after which a link for resuming on another device expires"
    )
    kiosk_minutes: Annotated[float, Field(ge=0, le=1440)] = Field(
        0.0,
        description="for devices that participants share: minutes without input after which a survey's page clears the "
        "device, as it does at the end; cookies then last until the browser is closed. 0: participants have devices of "
        "their own",
    )
    host: str = Field(
        "127.0.0.1", description="address to bind to; `HOST` is read too if it is an IP address or `localhost`"
    )
    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        8000, validation_alias=_well_known("port"), description="port to bind to"
    )
    database_url: str = Field(
        "sqlite:///survey_sessions.db",
        validation_alias=_well_known("database_url"),
        description="SQLAlchemy URL of the database: SQLite, PostgreSQL, MariaDB or MySQL",
    )
    database_schema: Annotated[str | None, Field(pattern=SCHEMA)] = Field(
        None,
        validation_alias=_ALIASES["database_schema"],
        description="PostgreSQL's schema for the tables; default: the search path of the account, which is `public`",
    )
    migration_url: str | None = Field(
        None,
        description="URL of the same database for `alembic` alone, with an account that may create tables; default: "
        "`DATABASE_URL`",
    )
    answers_keys: SecretStr = Field(
        SecretStr(""),
        description="keys that encrypt answers at rest: base64 of 32 bytes each, comma-separated; the first encrypts, "
        "all decrypt",
    )
    erasures_file: Path | None = Field(
        None,
        description="journal of erasures, applied again after a backup is restored; default with SQLite: a file next "
        "to the database",
    )
    surveys_dir: Path = Field(Path("surveys"), description="folder of the survey files")
    default_survey: Annotated[str | None, Field(pattern=SURVEY_ID)] = Field(
        None,
        description="survey to use where a request names none; default: the only survey, if there is just one. The "
        "Python API uses this survey too; its default is always `default`",
    )
    languages_dir: Path | None = Field(
        None,
        description="folder of JSON files with the server's own texts, one a language, such as `sv.json`: they add "
        "languages or replace texts",
    )
    expires_after: Duration | None = Field(
        None,
        description="time after its last change at which an unfinished session expires, e.g. `30d`; for surveys "
        "without `expires_after`",
    )
    retention: Duration | None = Field(
        None,
        description="time after its last change at which a session is erased, e.g. `365d`; for surveys without "
        "`retention`",
    )
    maintenance_minutes: Annotated[float, Field(ge=0, le=10_080)] = Field(
        0.0,
        description="minutes between two runs that close expired sessions and erase those past their retention; "
        "0 disables them",
    )
    archive_dir: Path | None = Field(
        None, description="folder in which maintenance archives the history of sessions before it erases them"
    )
    webhook_attempts: Annotated[int, Field(ge=1, le=50)] = Field(
        12, description="attempts to deliver a webhook (12 take about three days) before it has to be replayed by hand"
    )
    webhook_timeout_s: Annotated[float, Field(gt=0, le=60)] = Field(
        15.0, description="seconds within which a webhook's receiver must respond"
    )
    webhook_private_networks: bool = Field(
        False, description="whether webhooks may be sent to private addresses; always allowed in development"
    )
    web_concurrency: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, validation_alias=_well_known("web_concurrency"), description="server processes; always 1 with SQLite"
    )
    max_connections: Annotated[int, Field(ge=1, le=20_000)] = Field(
        10_000, description="simultaneous WebSocket connections per process; further ones are closed with 1013"
    )
    rest_threads: Annotated[int, Field(ge=1, le=1000)] = Field(
        24, description="threads for REST and pages; WebSockets have their own"
    )
    allowed_origins: str = Field(
        "",
        description="further origins whose pages may use the WebSocket and REST interfaces, comma-separated, e.g. "
        "`https://app.example.org`; exact, without patterns",
    )
    frame_ancestors: str = Field(
        "",
        description="origins whose pages may show a survey in a frame (`/embed/{survey_id}`), comma-separated, e.g. "
        "`https://www.example.org`; exact, without patterns; default: none",
    )
    messages_per_second: Annotated[float, Field(gt=0, le=100_000)] = Field(
        100.0, description="sustained messages per second on one connection; more close it with 4429"
    )
    message_burst: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        1000, description="messages that one connection may send in a burst before the rate applies"
    )
    participant_sockets: Annotated[int, Field(ge=1, le=20_000)] = Field(
        20, description="open connections per participant and process; in production"
    )
    address_sockets: Annotated[int, Field(ge=1, le=20_000)] = Field(
        300, description="open connections per client address and process; in production"
    )
    participant_connections: Rate = Field(
        "120/minute", description="rate of new connections per participant; in production"
    )
    address_connections: Rate = Field(
        "1200/minute", description="rate of new connections per client address; in production"
    )
    participant_messages: Rate = Field(
        "6000/minute", description="rate of messages per participant, over all connections; in production"
    )
    address_messages: Rate = Field(
        "60000/minute", description="rate of messages per client address, over all connections; in production"
    )
    address_participants: Rate = Field(
        "2000/hour", description="rate of new participants of public surveys per client address; in production"
    )
    public_participants: Rate = Field(
        "20000/hour", description="rate of new participants of public surveys from all addresses; in production"
    )
    address_mib_per_hour: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        256,
        description="MiB of commands that the participants of one client address may save in an hour; in production",
    )
    low_disk_mib: Annotated[int, Field(ge=0, le=1_000_000_000)] = Field(
        512,
        description="MiB free on the disk of the SQLite file or the erasure journal below which public surveys admit "
        "no new participants, and `/readyz` warns",
    )
    address_requests: Rate = Field("6000/minute", description="rate of HTTP requests per client address; in production")
    address_failures: Rate = Field(
        "30/minute",
        description="rate of failed authentications per client address, beyond which invalid credentials get 429; in "
        "production",
    )
    session_versions: Annotated[int, Field(ge=100, le=100_000_000)] = Field(
        10_000,
        description="versions that a session may have before its participant's commands are refused with `quota`; "
        "drafts count, and may be half of them",
    )
    session_mib: Annotated[int, Field(ge=1, le=24)] = Field(
        16,
        description="MiB of history that a session may have before its participant's commands are refused with "
        "`quota`; drafts count, and may be half of them",
    )
    malformed_limit: Annotated[int, Field(ge=1, le=100_000)] = Field(
        20, description="consecutive malformed messages after which a connection is closed with 4400"
    )
    auth_timeout_s: Annotated[float, Field(gt=0, le=60)] = Field(
        10.0, description="seconds in which a WebSocket client without credentials in the handshake must send its token"
    )
    ping_interval_s: Annotated[float, Field(gt=0, le=300)] = Field(20.0, description="seconds between WebSocket pings")
    draft_interval_s: Annotated[float, Field(gt=0, le=30)] = Field(
        15.0, description="seconds within which a changed draft is saved"
    )
    queue_limit: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10_000, description="commands in the write queue; further callers wait for a free place"
    )
    queue_timeout_s: Annotated[float, Field(gt=0, le=600)] = Field(
        30.0, description="seconds that a command waits in or for the write queue before it is refused as `overloaded`"
    )
    batch_limit: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1000, description="commands committed in one transaction"
    )
    retry_attempts: Annotated[int, Field(ge=1, le=20)] = Field(
        3, description="attempts at a transaction that fails with a transient error"
    )
    retry_delay_s: Annotated[float, Field(ge=0, le=60)] = Field(
        0.5, description="seconds before the second attempt; doubled for each further attempt, with jitter"
    )
    retry_delay_max_s: Annotated[float, Field(ge=0, le=600)] = Field(
        30.0, description="upper limit of the delay between two attempts, in seconds"
    )
    pending_after_s: Annotated[float, Field(gt=0, le=60)] = Field(
        2.0, description="seconds that a participant's command waits for its commit before it is answered `pending`"
    )
    pending_limit: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10_000,
        description="commands held in memory while the database is unavailable; further ones are refused (1013, 503)",
    )
    pending_mib: Annotated[int, Field(ge=1, le=65_536)] = Field(
        64, description="MiB of commands held in memory while the database is unavailable; more is refused (1013, 503)"
    )
    redis_url: str | None = Field(
        None,
        validation_alias=_well_known("redis_url"),
        description="Redis that carries change notifications and shared rate limits between server processes; needs "
        "the extra `redis`",
    )
    notification_interval_s: Annotated[float, Field(gt=0, le=60)] = Field(
        0.5,
        description="seconds between two polls for changes by other processes, where neither Redis nor PostgreSQL "
        "sends notifications",
    )
    metrics_dir: Path | None = Field(
        None, description="folder in which the server processes share their metrics; created if missing"
    )
    tracing: bool = Field(
        False, description="whether to send traces to `OTEL_EXPORTER_OTLP_ENDPOINT`; needs the extra `tracing`"
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="`json`, `text`, or `auto`: JSON in production, else text"
    )
    log_level: Annotated[str, Field(pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")] = Field(
        "INFO", description="`DEBUG`, `INFO`, `WARNING` or `ERROR`"
    )

    @property
    def secret_keys(self) -> list[str]:
        """The newest key first; it may be empty."""
        fallbacks = [text.strip() for text in self.secret_key_fallbacks.get_secret_value().split(",")]
        return [self.secret_key.get_secret_value(), *filter(None, fallbacks)]

    @field_validator("public_url", mode="before")
    @classmethod
    def _as_browsers_write_it(cls, url: object) -> object:
        return normalize_origin(url) if isinstance(url, str) else url

    @field_validator("allowed_origins", "frame_ancestors")
    @classmethod
    def _as_origins(cls, text: str) -> str:
        items = [item.strip() for item in text.split(",") if item.strip()]
        for item in items:
            if not re.fullmatch(ORIGIN, normalize_origin(item)):
                raise ValueError(
                    f"{item[:200]!r} is not an origin: write scheme://host or scheme://host:port for each, e.g. "
                    "https://app.example.org,http://localhost:3000, without a path, * or another pattern"
                )
        return ",".join(map(normalize_origin, items))


def is_set(name: str) -> bool:
    """Return whether the environment or the folder of secrets has the prefixed variable."""
    variable = f"{PREFIX}{name}".upper()
    folder = os.environ.get(SECRETS_DIR)
    return bool(os.environ.get(variable)) or (folder is not None and Path(folder, variable.lower()).is_file())


def read_settings(**values: object) -> Settings:
    """Return the settings; ``values`` take precedence. Raise ConfigurationError, which names each invalid variable."""
    folder = os.environ.get(SECRETS_DIR) or None
    if folder is not None and not Path(folder).is_dir():
        raise ConfigurationError(f"{SECRETS_DIR}: folder {folder!r} does not exist")
    host = os.environ.get("HOST", "")
    fallback: dict[str, Any] = {"host": host} if is_address(host) and not os.environ.get(f"{PREFIX}HOST") else {}
    try:
        return Settings(_secrets_dir=folder, **{**fallback, **values})
    except ValidationError as error:
        # Without the values: DATABASE_URL contains a password.
        problems = "; ".join(
            f"{variable_name(str(fault['loc'][0]))}: {validation_message(fault)}"
            for fault in error.errors(include_input=False)
        )
        raise ConfigurationError(f"Invalid settings in the environment: {problems}") from None


def environment_warnings() -> Iterator[str]:
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields.keys() - _ALIASES} | {SECRETS_DIR}
    known |= set(map(variable_name, _ALIASES))
    for variable in sorted(os.environ):
        if variable.startswith(PREFIX) and variable not in known:
            yield f"{variable} is not a setting"
        elif f"{PREFIX}{variable}" in known and variable.lower() not in WELL_KNOWN | GENERIC:
            yield f"{variable} is not read; the setting is called {PREFIX}{variable}"
    host = os.environ.get("HOST", "")
    if host and not is_address(host):
        yield f"HOST={host} is not an IP address and is ignored; use {PREFIX}HOST to bind to a host name"


def variable_name(setting: str) -> str:
    setting = _ALIASES.get(setting, setting)
    is_complete = setting in WELL_KNOWN or setting.startswith(PREFIX.lower())
    return setting.upper() if is_complete else f"{PREFIX}{setting.upper()}"
