"""Settings come from variables with the prefix STEPKEEP_, and from six well-known ones without it."""

import pytest

from app.errors import ConfigurationError
from app.settings import PREFIX, WELL_KNOWN, Settings, environment_warnings, read_settings


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings of the machine that runs the tests."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{PREFIX}{name.upper()}", raising=False)


def test_variables_of_other_programs_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Conda sets HOST to a platform; many programs read ENVIRONMENT and LOG_LEVEL."""
    monkeypatch.setenv("HOST", "x86_64-conda-linux-gnu")
    monkeypatch.setenv("ENVIRONMENT", "staging")
    monkeypatch.setenv("LOG_LEVEL", "verbose")
    assert read_settings() == Settings()
    (warning,) = environment_warnings()
    assert "HOST=x86_64-conda-linux-gnu is not an IP address" in warning


@pytest.mark.parametrize("host", ["192.0.2.1", "::1", "localhost"])
def test_host_without_prefix_is_read_where_it_is_an_address(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """STEPKEEP_HOST takes precedence, and may be a host name."""
    monkeypatch.setenv("HOST", host)
    assert read_settings().host == host
    monkeypatch.setenv("STEPKEEP_HOST", "survey.internal")
    assert read_settings().host == "survey.internal"
    assert list(environment_warnings()) == []


@pytest.mark.parametrize("name", sorted(WELL_KNOWN - {"host"}))
def test_well_known_variable_is_read_with_and_without_prefix(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The one with the prefix takes precedence."""
    monkeypatch.setenv(name.upper(), "7")
    first = getattr(read_settings(), name)
    monkeypatch.setenv(f"{PREFIX}{name.upper()}", "8")
    second = getattr(read_settings(), name)
    assert [str(getattr(value, "get_secret_value", lambda v=value: v)()) for value in (first, second)] == ["7", "8"]


def test_setting_without_prefix_or_misspelt_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers would be stored unencrypted, and the operator would not know."""
    monkeypatch.setenv("ANSWERS_KEYS", "x")
    monkeypatch.setenv("STEPKEEP_ANSWER_KEYS", "x")
    assert list(environment_warnings()) == [
        "ANSWERS_KEYS is not read; the setting is called STEPKEEP_ANSWERS_KEYS",
        "STEPKEEP_ANSWER_KEYS is not a setting",
    ]


def test_invalid_setting_is_named_as_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its value, which may be a secret."""
    monkeypatch.setenv("PORT", "secret")
    monkeypatch.setenv("STEPKEEP_WEB_CONCURRENCY", "secret")
    monkeypatch.setenv("STEPKEEP_RETENTION", "secret")
    with pytest.raises(ConfigurationError) as caught:
        read_settings()
    variables = {problem.partition(":")[0] for problem in caught.value.message.partition(": ")[2].split("; ")}
    assert variables == {"PORT", "STEPKEEP_WEB_CONCURRENCY", "STEPKEEP_RETENTION"}
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", ""),
        ("https://app.example.org", "https://app.example.org"),
        (" HTTPS://App.Example.org:443/ , http://localhost:3000,", "https://app.example.org,http://localhost:3000"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_allowed_origins_are_as_browsers_send_them(monkeypatch: pytest.MonkeyPatch, text: str, origins: str) -> None:
    monkeypatch.setenv("STEPKEEP_ALLOWED_ORIGINS", text)
    assert read_settings().allowed_origins == origins


@pytest.mark.parametrize(
    "wrong",
    [
        "*",
        "null",
        "127.0.0.1:8227",
        "app.example.org",
        "//app.example.org",
        "https://*.example.org",
        "https://.*",
        r"https://app\.example\.org",
        "https://(a|b).example.org",
        "https://app.example.org/page",
        "https://app.example.org?x=1",
        "https://me@app.example.org",
        "https://app.example.org:port",
        "https://a.example.org https://b.example.org",
        "https://",
    ],
)
def test_allowed_origin_that_is_none_stops_the_start(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    """Patterns would allow origins that nobody named; a value without scheme would never match."""
    monkeypatch.setenv("STEPKEEP_ALLOWED_ORIGINS", f"https://right.example.org,{wrong}")
    with pytest.raises(ConfigurationError, match=r"STEPKEEP_ALLOWED_ORIGINS: .*write scheme://host") as caught:
        read_settings()
    assert repr(wrong) in caught.value.message
    assert "\n" not in caught.value.message
