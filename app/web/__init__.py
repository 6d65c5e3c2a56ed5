"""The web interfaces: REST, the WebSocket and the pages."""

from .factory import check_settings, config_warnings, create_app

__all__ = ["check_settings", "config_warnings", "create_app"]
