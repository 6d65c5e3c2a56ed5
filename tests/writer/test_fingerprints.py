"""Fingerprints of commands: a resend is recognized, also by a later release."""

from dataclasses import replace

import pytest

from app.survey.commands import (
    Answer,
    AnyCommand,
    Back,
    Begin,
    Draft,
    Expire,
    Goto,
    Note,
    Restart,
    Save,
    SetLanguage,
    SetMode,
    Update,
)
from app.writer.batch import command_fingerprint

SAVE = Save(at=1, current_step="S1", answers={"S1": 1}, step_history=("S0",), is_audio_mode=False, session_data=None)

# Computed by releases without confirmations, languages, pages and parameters, but for the last four.
GOLDEN: list[tuple[AnyCommand, str]] = [
    (Begin(at=1, is_audio_mode=True), "4ff18d6e2c6ab8ea0097e27b"),
    (Answer(at=1, step="S1", value="Yes"), "6c76fbb26cd1e5e17eab51b6"),
    (Answer(at=1, step="S2", value=["a", 2.5, None]), "bd17ecf197ca6a7aeea83a80"),
    (Back(at=1), "ef4d0caf1e7df996e3a2e74f"),
    (Goto(at=1, step="S1"), "5f73d07002bd01f8edb5388b"),
    (SetMode(at=1, is_audio_mode=True), "572ee5d6725a56ab80a87dd4"),
    (Draft(at=1, step="S3", value="ab"), "9a97cf4eded2f3e06b034217"),
    (Restart(at=1), "8b5943f0f7d27ac56146aa3a"),
    (SAVE, "e8bb02f964d30cea9d41ba0a"),
    (Update(at=1, changes={"current_step": "S2"}), "f9b9f4987791740a8228fe25"),
    (Note(at=1, action="called", step=None, answer=1), "173319ea31f2995fd2cdde04"),
    (Expire(at=1), "a9825fc04e4f61e78094c17d"),
    (Answer(at=1, step="S1", value="Yes", confirmed=True), "b02105b3d1595359361c6a7d"),
    (SetLanguage(at=1, language="de-AT"), "e753296a4e4625d43b2a965b"),
    (Answer(at=1, step="S1", value={"b": 1.5, "a": None}), "60fb4987933feef756c96d51"),
    (Begin(at=1, parameters={"b": "x", "a": 2}), "0e78482cac8e1f4482316b32"),
]


@pytest.mark.parametrize(("command", "fingerprint"), GOLDEN)
def test_fingerprint_is_that_of_earlier_releases(command: AnyCommand, fingerprint: str) -> None:
    """A command sent before an upgrade and again after it is a duplicate."""
    assert command_fingerprint(command) == fingerprint


def test_fingerprint_differs_when_a_later_field_is_set() -> None:
    """A confirmed answer is another command."""
    answer = Answer(at=1, step="S1", value="Yes")
    assert command_fingerprint(replace(answer, confirmed=True)) != command_fingerprint(answer)


def test_fingerprint_is_the_same_in_whichever_order_fields_are_sent() -> None:
    """Of a page, as of any object."""
    answer = Answer(at=1, step="S1", value={"a": {"value": "x", "text": "y"}, "b": 1})
    turned = {"b": 1, "a": {"text": "y", "value": "x"}}
    assert command_fingerprint(replace(answer, value=turned)) == command_fingerprint(answer)
