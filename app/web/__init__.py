"""The web interfaces: REST, the WebSocket and the pages."""

from .context import EXTENSION, AppContext
from .factory import check_settings, config_warnings, create_app

__all__ = ["EXTENSION", "AppContext", "check_settings", "config_warnings", "create_app"]
