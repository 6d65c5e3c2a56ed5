"""The web interfaces: REST, the WebSocket and the pages."""

from ..core.installation import needs_extra

with needs_extra("server", "The server"):
    from .context import EXTENSION, AppContext
    from .factory import check_settings, config_warnings, create_app
    from .host_login import HOST_USER, HostLogin
    from .ws.websocket import SEND_TIMEOUT_MS

__all__ = [
    "EXTENSION",
    "HOST_USER",
    "SEND_TIMEOUT_MS",
    "AppContext",
    "HostLogin",
    "check_settings",
    "config_warnings",
    "create_app",
]
