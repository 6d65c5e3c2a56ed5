"""The secrets that sign tokens."""

from ..errors import ConfigurationError
from ..settings import Settings

MIN_LENGTH = 32
"""At least the hash's bytes (RFC 2104, 3)."""

_DEVELOPMENT_SECRET = "only for development: everyone on this machine knows it"  # noqa: S105 - not a secret
_HINT = 'Generate one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'


def signing_secrets(settings: Settings) -> list[str]:
    """Return the secrets, the newest last.

    Raises:
        ConfigurationError: in production, one is missing or weak.
    """
    fallbacks = [text.strip() for text in settings.secret_key_fallbacks.get_secret_value().split(",") if text.strip()]
    newest = settings.secret_key.get_secret_value()
    if settings.environment == "production":
        _require_strong("SECRET_KEY", newest)
        for fallback in fallbacks:
            _require_strong("STEPKEEP_SECRET_KEY_FALLBACKS", fallback)
    elif not newest:
        newest = _DEVELOPMENT_SECRET
    return [*reversed(fallbacks), newest]


def _require_strong(name: str, secret: str) -> None:
    if not secret:
        raise ConfigurationError(
            f"{name} is missing: in production it signs participants' tokens. {_HINT} "
            "(for commands without `make run`: STEPKEEP_ENVIRONMENT=development)"
        )
    is_example = "changeme" in secret.lower().replace("-", "").replace("_", "") or secret == _DEVELOPMENT_SECRET
    if len(secret) < MIN_LENGTH or len(set(secret)) < MIN_LENGTH // 4 or is_example:
        raise ConfigurationError(f"{name} is weak: it needs at least {MIN_LENGTH} random characters. {_HINT}")
