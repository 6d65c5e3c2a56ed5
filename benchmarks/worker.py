"""A contestant's own process: told by JSON lines what to measure, answers by JSON lines.

``python -m benchmarks.worker MODULE SPEC [--gevent]``: the module of a contestant, and its spec as JSON. Lines in:
``{"what": "turns", "callers": 64, "seconds": 1.0}`` or ``{"what": "rest"}``; lines out: ``{"ready": facts}`` once,
then for each line in a :class:`~benchmarks.crowd.Measured` as JSON, or ``{}``. The end of the input is the end.
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
"""As gunicorn.conf.py sets them for the server; the same for every contestant."""


def serve(contestant: Contestant, answers: TextIO) -> None:
    """Answer until the input ends."""
    _say(answers, {"ready": dict(contestant.facts())})
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        if asked["what"] == "rest":
            contestant.rest()
            _say(answers, {})
        else:
            measured = contestant.measure(asked["what"], asked["callers"], asked["seconds"])
            _say(answers, dataclasses.asdict(measured))


def _say(answers: TextIO, message: object) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def main() -> None:
    """Enter the contestant that the command line names."""
    module, spec = sys.argv[1:3]
    if "--gevent" in sys.argv:
        from gevent import monkey  # noqa: PLC0415 - not every environment has it

        monkey.patch_all()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not become an answer
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    contestant: Contestant = importlib.import_module(module).enter(json.loads(spec))
    serve(contestant, answers)
    contestant.close()


if __name__ == "__main__":
    main()
