"""Serve the preview of the file that is the only argument, until Ctrl-C."""

import sys
from pathlib import Path

from .server import serve_preview

if __name__ == "__main__":
    serve_preview(Path(sys.argv[1]))
