"""How this program is installed: from the wheel, as the package ``stepkeep``, or as a clone, as ``app``.

Messages and help texts name the commands of this installation with these constants.
"""

IS_WHEEL = not __name__.startswith("app.")

COMMAND = "stepkeep" if IS_WHEEL else "flask"
"""Before the operators' commands, such as ``sessions list``."""

UPGRADE = "stepkeep db upgrade" if IS_WHEEL else "alembic upgrade head"
DOWNGRADE = "stepkeep db downgrade" if IS_WHEEL else "alembic downgrade"
LOSSY_DOWNGRADE = "stepkeep db downgrade --lossy" if IS_WHEEL else "alembic -x lossy=yes downgrade"
STAMP = "stepkeep db stamp" if IS_WHEEL else "alembic stamp --purge"


def install_extra(extra: str) -> str:
    """Return what to run to install an extra's libraries, as the end of a sentence without its full stop."""
    return f"`pip install 'stepkeep[{extra}]'`" if IS_WHEEL else f"`pip install '.[{extra}]'` in the program's folder"
