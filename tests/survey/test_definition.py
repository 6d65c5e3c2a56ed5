"""Survey files: what is accepted, and what is refused with its place."""

import hashlib
import json

import pytest

from app.core import strict_json
from app.errors import SurveyFileError
from app.survey.checks import parse_survey
from app.survey.definition import parse_definition, parse_structure
from app.survey.types.moments import DateStep
from app.survey.types.step import InvalidAnswer
from tests.conftest import ROOT, SHIPPED, SURVEYS

HEAD = "id: a\ntitle: t\nlanguage: en\nsteps:\n"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_survey_keeps_its_revision_when_its_definition_is_parsed(name: str) -> None:
    """Stored definitions are parsed again when a session pins them."""
    survey = parse_survey((SURVEYS / f"{name}.yaml").read_text(), f"{name}.yaml")
    assert parse_structure(survey.definition).revision == survey.revision


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("id: a\nid: b\n", "occurs twice"),
        ("- 1\n", "begins with id"),
        ("a: [\n", "the file ends before"),
        (HEAD + " - {id: S1, type: info, prompt: p, next: [{go: S9}]}", "no such step"),
        (HEAD + " - {id: S1, type: choice, prompt: p, options: [true, false]}", "quotes"),
        (HEAD + " - {id: S1, type: choice, prompt: p, options: []}", "options"),
        (HEAD + " - {id: S1, type: choice, prompt: p, options: [a, a]}", "two options"),
        (
            HEAD + " - {id: S1, type: info, prompt: p, next: [{go: end}]}\n - {id: S2, type: info, prompt: p}",
            "S2",
        ),
        (HEAD + " - {id: S1, type: info, prompt: p, next: [{go: S1}]}", "no answer leaves"),
        (HEAD + " - {id: S1, type: info, prompt: p}\n - {id: S1, type: info, prompt: p}", "same id"),
        (HEAD + " - {id: S1, type: boolean, prompt: p, next: [{when: answer = 1, go: end}]}", "not a CEL"),
        (HEAD + " - {id: S1, type: boolean, prompt: p, next: [{when: answers.S7, go: end}]}", "S7"),
        (HEAD + " - {id: S1, type: boolean, prompt: p, next: [{when: nope == 1, go: end}]}", "nope"),
        (HEAD + " - {id: S1, type: boolean, prompt: p, next: [{when: f(1), go: end}]}", "function"),
        (
            HEAD
            + ' - {id: S1, type: info, prompt: p, next: [{when: "[1].all(x,[1].all(y,[1].all(z,true)))", go: end}]}',
            "nested deeper",
        ),
        (
            HEAD + f" - {{id: S1, type: info, prompt: p, next: [{{when: '{'1+' * 1000}1 == 2', go: end}}]}}",
            "2000",
        ),
        (HEAD + ' - {id: S1, type: text, prompt: p, pattern: "(?=a)"}', "RE2"),
        (HEAD + " - {id: S1, type: date, prompt: p, min: 1900-13-01}", "real date"),
        (HEAD + " - {id: S1, type: info, prompt: p, colour: red}", "colour"),
        (HEAD + " - {id: S1, type: scale, prompt: p, min: 3, max: 1}", "greater"),
        (HEAD + " - {id: end, type: info, prompt: p}", "end"),
    ],
)
def test_wrong_file_is_refused_with_its_name_and_the_problem(text: str, problem: str) -> None:
    """In an author's words."""
    with pytest.raises(SurveyFileError) as refused:
        parse_survey(text, "mine.yaml")
    assert refused.value.message.startswith("mine.yaml:")
    assert problem in refused.value.message


@pytest.mark.parametrize(
    ("name", "revision"),
    [
        ("phq9", "e7916792e3906ffb067bffb1fe134c61"),
        ("intake", "d23e190bf22e0d3b9e4b1c9b65671090"),
        ("gad7", "451070e996fe055f4005af02c0fefd14"),
        ("audit", "075531b61c3046dff4681487df893da2"),
        ("consent", "370e53390d8fda646c6a6e5e001c8baf"),
    ],
)
def test_revision_of_a_shipped_survey_stays_the_same_in_every_release(name: str, revision: str) -> None:
    """Sessions are pinned to it."""
    survey = parse_survey((SURVEYS / f"{name}.yaml").read_text(), f"{name}.yaml")
    assert survey.revision == revision


def options_of(written: str) -> list[object]:
    """Return the values of the options, written in YAML."""
    survey = parse_survey(f"{HEAD} - {{id: S1, type: choice, prompt: p, options: [{written}]}}", "mine.yaml")
    return [option["value"] for option in json.loads(survey.definition)["steps"][0]["options"]]


def test_scalars_are_those_of_yaml_1_2() -> None:
    """YAML 1.1 reads booleans, 1000, 90, 5400.0, a date and binary digits here."""
    texts = ["yes", "No", "on", "OFF", "y", "1_000", "1:30", "1:30:00.0", "2026-01-01", "0b11", "=", "1.2.3", "0o9"]
    assert options_of(", ".join(texts)) == texts
    assert options_of('7, -2, 0.5, 2.0, "012", "1.10", "1e3", "~"') == [7, -2, 0.5, 2.0, "012", "1.10", "1e3", "~"]
    bounds = {"012": 12, "0o14": 12, "0x1F": 31, "+7": 7, ".5": 0.5, "7.": 7.0, "1e3": 1000.0, "1.50": 1.5, "~": None}
    for written, value in bounds.items():
        survey = parse_survey(f"{HEAD} - {{id: S1, type: number, prompt: p, min: {written}}}", "mine.yaml")
        assert json.loads(survey.definition)["steps"][0]["min"] == value, written
    with pytest.raises(SurveyFileError, match="must be true or false"):
        parse_survey(f"{HEAD} - {{id: S1, type: info, prompt: p, required: yes}}", "mine.yaml")


@pytest.mark.parametrize(
    "written", ["012", "1.10", "0o14", "0x1F", "+5", ".5", "1e3", "7.", "-0", ".inf", "{value: 1.10}"]
)
def test_option_that_may_be_a_number_or_a_text_is_refused_with_its_place(written: str) -> None:
    """It would be stored as another text than the author wrote."""
    with pytest.raises(SurveyFileError, match=r"mine\.yaml:8:\d+: the option .* is the number"):
        parse_survey(f"{HEAD} - id: S1\n   type: choice\n   prompt: p\n   options: [a, {written}]", "mine.yaml")


def test_explicit_tag_is_read_as_yaml_1_2_too() -> None:
    """PyYAML's own constructors would read 10 and true."""
    with pytest.raises(SurveyFileError, match=r"^mine\.yaml:5:46: 'yes' is not a valid bool in YAML 1\.2$"):
        parse_survey(f"{HEAD} - {{id: S1, type: info, prompt: p, required: !!bool yes}}", "mine.yaml")
    survey = parse_survey(f"{HEAD} - {{id: S1, type: number, prompt: p, min: !!int 012}}", "mine.yaml")
    assert json.loads(survey.definition)["steps"][0]["min"] == 12


def test_stored_definition_keeps_what_an_earlier_release_read() -> None:
    """Under YAML 1.1, 1:30 was the number 90: sessions of that revision still have it."""
    written = parse_survey(f"{HEAD} - {{id: S1, type: choice, prompt: p, options: [1:30]}}", "mine.yaml").definition
    earlier = written.replace('"value":"1:30","label":"1:30"', '"value":90,"label":"90"')
    assert parse_structure(earlier).definition == earlier != written


@pytest.mark.parametrize(
    ("low", "value", "problem"),
    [
        (None, "0085-05-03", "four digits"),
        (None, "0999-12-31", "four digits"),
        ("1900-01-01", "0085-05-03", "four digits"),
        (None, "1000-01-01", None),
        ("0001-01-01", "0085-05-03", None),
    ],
)
def test_year_of_two_digits_is_refused_unless_the_author_allows_it(
    low: str | None, value: str, problem: str | None
) -> None:
    """Date fields of browsers show 0085 while 1985 is being typed."""
    step = DateStep(id="S1", type="date", prompt="p", min=low)
    if problem is None:
        assert step.check_answer(value) == value
    else:
        with pytest.raises(InvalidAnswer, match=problem):
            step.check_answer(value)


STEPS = {
    "c1": "c6521ef82574e775",
    "c2": "a39830b3da39f116",
    "c3": "411c78cca9011199",
    "c4": "a21a96a4baae05c1",
    "c5": "698bb353626f04e1",
    "t1": "9f645c576ddb7a07",
    "t2": "a433dca3a9889ac9",
    "n1": "1a17854afda04e5a",
    "n2": "97d87f443939eb9e",
    "s1": "7fa0ce303f597137",
    "d1": "2c66ee3872fc8471",
    "n3": "ca6bc576879c8e23",
    "n4": "9749105b64859650",
    "h1": "97aa6bbc50ee1b58",
    "h2": "a5ef392f4d9ae0d6",
    "m1": "2ffe5c68fcb58e8d",
    "e1": "560bba5b62b12f24",
    "e2": "726b394a325feb63",
    "p1": "e907d17c8223c2f6",
    "p2": "c5e522ae649451eb",
    "r1": "3fcec79ae3ae52ba",
    "g1": "05364adb7917c2ea",
    "g2": "bdecc94940183af6",
    "pg": "081f11135c4fd466",
    "b1": "3357c32f1266f1bd",
    "i1": "05076b14492baf64",
}
"""SHA-256 of the canonical form of each step of every_field.yaml. A new type or field adds one; the others never change."""


def test_canonical_form_of_every_field_stays_the_same_in_every_release() -> None:
    """A field that is renamed, reordered or gets another default changes the revisions of stored surveys."""
    survey = parse_survey((ROOT / "tests/survey/every_field.yaml").read_text(), "every_field.yaml")
    definition = json.loads(survey.definition)
    assert strict_json.encode(definition) == survey.definition
    steps = definition.pop("steps")
    assert {step["id"]: hashlib.sha256(strict_json.encode(step).encode()).hexdigest()[:16] for step in steps} == STEPS
    assert strict_json.encode(definition) == (
        '{"id":"every-field","title":"Every field of every type","language":"de-AT",'
        '"description":"Pins the canonical form.","expires_after":"30d"}'
    )
    assert parse_structure(survey.definition).definition == survey.definition


def test_stored_definition_loads_when_a_condition_does_not_compile() -> None:
    """It has no value: the next step in the list follows. A new file with it is refused."""
    step = '{"id": "%s", "type": "info", "prompt": "P"%s}'
    rules = ', "next": [{"when": "no(such) %%", "go": "C"}]'
    steps = ", ".join((step % ("A", rules), step % ("B", ', "next": [{"go": "end"}]'), step % ("C", "")))
    text = f'{{"id": "a", "title": "T", "language": "en", "steps": [{steps}]}}'
    survey = parse_definition(text, "stored")
    assert survey.graph.next_step("A", {"A": None}) == ("B", True)
    with pytest.raises(SurveyFileError):
        parse_survey(text, "a.json")


def test_stored_definition_loads_when_its_language_tag_is_too_long_for_a_new_file() -> None:
    """Earlier releases took tags of any length."""
    tag = f"de{'-abcdefgh' * 5}"
    text = f'{{"id": "a", "title": "T", "language": "{tag}", "steps": [{{"id": "A", "type": "info", "prompt": "P"}}]}}'
    assert parse_definition(text, "stored").shown_language == tag
    with pytest.raises(SurveyFileError, match="at most 35 characters"):
        parse_survey(text, "a.json")


def test_stored_definition_keeps_its_revision_when_another_release_writes_it_otherwise() -> None:
    """Sessions are stored with the revision."""
    text = '{"id":"a","title":"T","language":"en","steps":[{"type":"info","id":"A","prompt":"P"}]}'
    stored = parse_definition(text, "stored")
    assert (stored.definition, stored.revision) == (text, hashlib.sha256(text.encode()).hexdigest()[:32])
    assert stored.with_defaults(expires_after="1d", retention=None).revision == stored.revision
