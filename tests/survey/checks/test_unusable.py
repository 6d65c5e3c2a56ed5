"""Values that a stored survey may have, and that a file may not: what no participant could use."""

import pytest

from app.core import strict_json
from app.survey.definition import parse_definition
from tests.survey.checks.test_check import HEAD, found_in

END = "  - {id: S1, type: info, prompt: P}\nend:\n  - {title: t, redirect: '%s'}\n"

NO_ADDRESS = "must be an https address without spaces, such as https://clinic.example/done"
NO_PORT = "the port must be a number from 1 to 65535"
NO_INSERTION = "insertions can only be values of the query, as in https://clinic.example/done?score={{ values.score }}"

REDIRECTS = {
    "https://clinic.example": [],
    "https://clinic.example/done?from=survey&n=100%25#end": [],
    "HTTPS://Clinic.example:8443/": [],
    "https://[2001:db8::1]:1/": [],
    "http://localhost:8000/done": [],
    "http://clinic.localhost/done": [],
    "http://127.0.0.1/": [],
    "http://127.0.0.2:65535/": [],
    "http://[::1]/": [],
    "http://clinic.example/done": [NO_ADDRESS],
    "http://127.0.0.1.clinic.example/": [NO_ADDRESS],
    "http://[::2]/": [NO_ADDRESS],
    "//clinic.example/done": [NO_ADDRESS],
    "clinic.example/done": [NO_ADDRESS],
    "javascript:alert(1)": [NO_ADDRESS],
    "mailto:us@clinic.example": [NO_ADDRESS],
    "https:///done": [NO_ADDRESS],
    "https://[::1/": [NO_ADDRESS],
    "https://us:secret@clinic.example/": [NO_ADDRESS],
    "https://clinic.example/the end": [NO_ADDRESS],
    "https://clinic.example:99999/": [NO_PORT],
    "https://clinic.example:0/": [NO_PORT],
    "https://clinic.example:https/": [NO_PORT],
    "https://clinic.example/?band={{answers.S1}}&a=1#b": [],
    "https://clinic.example/?band={{ answers.S1 }}": [],
    "https://{{answers.S1}}/": [NO_INSERTION],
    "https://clinic.example/{{ answers.S1 }}": [NO_INSERTION],
    "https://clinic.example/?{{ answers.S1 }}=1": [NO_INSERTION],
    "https://clinic.example/?a=1&{{ answers.S1 }}": [NO_INSERTION],
    "https://clinic.example/?a=1#{{ answers.S1 }}": [NO_INSERTION],
}


@pytest.mark.parametrize(("address", "problems"), REDIRECTS.items())
def test_redirect_is_an_https_address_or_one_of_this_machine(address: str, problems: list[str]) -> None:
    """It is a link on the participant's page; what an address is, is as RFC 3986 has it."""
    assert found_in(HEAD + END % address) == [f"7:26: end[0].redirect: {problem}" for problem in problems]


@pytest.mark.parametrize("address", [address for address, found in REDIRECTS.items() if NO_ADDRESS not in found])
def test_stored_survey_keeps_its_redirect(address: str) -> None:
    """Its sessions go on, though a file with it may be refused today."""
    step = {"id": "S1", "type": "info", "prompt": "P"}
    stored = {"id": "a", "title": "t", "language": "en", "steps": [step], "end": [{"redirect": address}]}
    assert parse_definition(strict_json.encode(stored), "stored").end[0].redirect == address


OPTIONS = "type: choices, options: [a, b, {value: c, exclusive: true}]"


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        (
            f"{OPTIONS}, min_choices: 3",
            "min_choices 3 is greater than the number of options that can be chosen together, 2",
        ),
        (f"{OPTIONS}, min_choices: 2", None),
        (f"{OPTIONS}, max_choices: 3", None),
        ("type: choices, options: [{value: a, exclusive: true}, {value: b, exclusive: true}], min_choices: 2", None),
        ("type: choices, options: [a, b], min_choices: 3", "min_choices 3 is greater than max_choices 2"),
        ("type: choices, options: [a, b, {value: c, show_if: false}], min_choices: 3", None),
        ("type: choice, options: [a, {value: b, exclusive: true}]", None),
    ],
)
def test_min_choices_can_be_chosen(step: str, problem: str | None) -> None:
    """Beside options that exclude each other. Among the options of a `choice`, `exclusive` says nothing new."""
    found = [one.partition(" ")[2] for one in found_in(f"{HEAD}  - {{id: S1, prompt: P, {step}}}\n")]
    assert found == ([] if problem is None else [f"step S1: {problem}"])


RANKED = "type: ranking, options: [a, {value: b, show_if: false}, {value: c, show_if: true}]"
NOT_RANKED = "this step does not accept it: The answer must have all of the options, each once, the first one first"


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        (f"{RANKED}, default: [a, b, c]", None),
        (f"{RANKED}, default: [c, a]", None),
        (f"{RANKED}, default: [a]", None),
        (f"{RANKED}, default: [b]", NOT_RANKED),
        (f"{RANKED}, default: [a, d]", NOT_RANKED),
        (f"{RANKED}, default: [a, [b]]", NOT_RANKED),
        ("type: choices, options: [a, {value: b, show_if: false}], min_choices: 2, default: [a]", None),
        (
            "type: choices, options: [a, b, {value: c, show_if: false}], min_choices: 2, default: [a]",
            "this step does not accept it: Choose at least 2",
        ),
        ("type: text, default: {a: 1}", "this step does not accept it: The answer must be text"),
        ("type: month, default: 2026-01-15", "this step does not accept it: The answer must be a month, as YYYY-MM"),
    ],
)
def test_default_is_an_answer_to_some_of_the_options(step: str, problem: str | None) -> None:
    """Those without a condition, and those that the default names."""
    found = [one.partition(" ")[2] for one in found_in(f"{HEAD}  - {{id: S1, prompt: P, {step}}}\n")]
    assert found == ([] if problem is None else [f"step S1: default: {problem}"])


@pytest.mark.parametrize(
    "step",
    [
        'type: month, default: "{{ today }}"',
        'type: month, default: "{{ now }}"',
        'type: datetime, default: "{{ now }}"',
        f"""{RANKED}, default: "{{{{ ['c', 'a'] }}}}\"""",
    ],
)
def test_computed_default_is_an_answer(step: str) -> None:
    """A date stands for its month, as in computed bounds."""
    assert found_in(f"{HEAD}  - {{id: S1, prompt: P, {step}}}\n") == []
