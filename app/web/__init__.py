"""The web interfaces: REST, the WebSocket and the pages."""

from .context import EXTENSION, AppContext
from .factory import check_settings, config_warnings, create_app
from .ws.server import SEND_TIMEOUT_MS

__all__ = ["EXTENSION", "SEND_TIMEOUT_MS", "AppContext", "check_settings", "config_warnings", "create_app"]
