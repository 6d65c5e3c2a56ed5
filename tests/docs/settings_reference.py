"""The table of settings in docs/operations.md and .env.example, generated from the descriptions in app/settings.py.

``python -m tests.docs.settings_reference`` writes both.
"""

import re
import textwrap
from collections.abc import Iterator

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from app.settings import Settings, variable_name
from tests.conftest import ROOT

PAGE = ROOT / "docs/operations.md"
EXAMPLE = ROOT / ".env.example"
TABLE = re.compile(r"(?:^\| variable \| default \|.*\n)(?:^\|.*\n)+", re.MULTILINE)

HEAD = """\
# Settings of Stepkeep, generated from app/settings.py: uncomment what you change. The values shown are the defaults.
# Stepkeep does not read this file by itself; load it with `set -a; . ./.env`, systemd's EnvironmentFile or
# `docker run --env-file .env`. docs/operations.md describes each setting.
"""


def table() -> str:
    """Return the Markdown table of all settings."""
    rows = [f"| `{name}` | {f'`{default}`' if default else ''} | {text} |\n" for name, default, text in _settings()]
    return "".join(("| variable | default | description |\n", "| --- | --- | --- |\n", *rows))


def example() -> str:
    """Return the text of .env.example."""
    entries = [f"\n{textwrap.fill(text, 116, **_COMMENT)}\n#{name}={default}\n" for name, default, text in _settings()]
    return "".join((HEAD, *entries))


_COMMENT = {"initial_indent": "# ", "subsequent_indent": "# "}


def _settings() -> Iterator[tuple[str, str, str]]:
    for name, setting in Settings.model_fields.items():
        yield variable_name(name), _default(setting), setting.description or ""


def _default(setting: FieldInfo) -> str:
    value = setting.default
    if value is None or isinstance(value, SecretStr):
        return ""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text()))
    EXAMPLE.write_text(example())
