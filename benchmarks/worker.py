"""The process of a contestant: receives JSON lines with measurements to make, and answers with JSON lines.

``python -m benchmarks.worker MODULE SPEC [--gevent]``: the module of a contestant, and its spec as JSON. Input:
``{"what": "turns", "callers": 64, "seconds": 1.0}`` or ``{"what": "rest"}``; output: ``{"ready": facts}`` once,
then for each line a :class:`~benchmarks.crowd.Measured` as JSON, or ``{}``. The process ends with its input.
"""

import dataclasses
import gc
import importlib
import json
import os
import sys
from typing import Any, TextIO

from benchmarks.contestant import Contestant

GARBAGE_THRESHOLDS = (10_000, 20, 20)
"""As app/serve/gunicorn_config.py sets them for the server; the same for every contestant."""


def serve(contestant: Contestant, answers: TextIO) -> None:
    """Answer until the input ends."""
    _send(answers, {"ready": dict(contestant.facts())})
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        if request["what"] == "rest":
            contestant.rest()
            _send(answers, {})
        else:
            measured = contestant.measure(request["what"], request["callers"], request["seconds"])
            _send(answers, dataclasses.asdict(measured))


def _send(answers: TextIO, message: object) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def main() -> None:
    """Start the contestant that the command line names."""
    module, spec = sys.argv[1:3]
    if "--gevent" in sys.argv:
        from gevent import monkey  # noqa: PLC0415 - only for --gevent

        monkey.patch_all()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of libraries must not become an answer
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    contestant: Contestant = importlib.import_module(module).enter(json.loads(spec))
    serve(contestant, answers)
    contestant.close()


if __name__ == "__main__":
    main()
