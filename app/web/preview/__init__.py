"""``flask surveys preview``: one survey file in a browser, on a database that is thrown away."""

from .server import serve_preview

__all__ = ["serve_preview"]
