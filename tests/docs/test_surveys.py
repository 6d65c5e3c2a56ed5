"""docs/surveys.md: every example loads, and every table is what the survey core does."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from app.errors import SurveyFileError
from app.survey.checks import check_survey, parse_survey
from app.survey.commands import Answer, AnyCommand, Back, Begin, Goto, Rejection, Restart
from app.survey.definition import Ending, Survey, parse_definition
from app.survey.events import Answered
from app.survey.expressions import FUNCTIONS, MAX_LENGTH, Names, Scope, compile_expression
from app.survey.flow import decide
from app.survey.markdown import MarkdownText
from app.survey.state import SessionState, apply
from app.survey.texts import is_text_field
from app.survey.types import STEP_TYPES, BaseStep, Row
from app.survey.types.choice import Option
from app.survey.types.step import Check, Code, Image, Rule, StrictModel
from tests.conftest import ROOT
from tests.docs.pages import Table, anchor_of, blocks, tables, unquoted

PAGE = (ROOT / "docs" / "surveys.md").read_text()
HEAD = "id: example\ntitle: Example\nlanguage: en\nsteps:\n"
IN_TWO_LANGUAGES = HEAD.replace("title: Example", "title: {en: Example, de: Beispiel}\nlanguages: [en, de]")
REFUSED = re.compile(r"```yaml\n((?:(?!```).)*)```\n\nfails with\n\n```text\n(.*?)\n```", re.DOTALL)
TEXT = REFUSED.sub("", PAGE)


@dataclass(kw_only=True)
class Example:
    """A table, and the last complete survey above it."""

    survey: str
    table: Table


def examples() -> Iterator[Example]:
    """Yield the page's tables."""
    survey = ""
    for number, part in enumerate(re.split(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)):
        if number % 2 == 0:
            yield from (Example(survey=survey, table=table) for table in tables(part))
        elif part.startswith("id:"):
            survey = part


def rows(*header: str) -> list[tuple[str, ...]]:
    """Return the rows of all tables with this header."""
    return [row for table in tables(TEXT) if table.header == header for row in table.rows]


class Walk:
    """A session that exists in memory only."""

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self.state: SessionState | None = None
        self.do(Begin(at=0))

    def do(self, command: AnyCommand) -> SessionState:
        event = decide(self._survey, self.state, command)
        assert not isinstance(event, Rejection), event
        self.state = apply(self.state, event)
        return self.state


def command_in(text: str) -> AnyCommand:
    """Return the command of a row, for instance ``answer seen: "Yes"``."""
    verb, _, rest = text.partition(" ")
    if verb == "answer":
        ((step, value),) = yaml.safe_load("{" + rest + "}").items()
        return Answer(at=0, step=step, value=value)
    if verb == "goto":
        return Goto(at=0, step=rest)
    return {"back": Back(at=0), "restart": Restart(at=0)}[verb]


def result_of(condition: str, answer: object) -> str:
    """Return what a condition gives for an answer, on a survey whose other steps are unanswered."""
    steps: list[Mapping[str, Any]] = [
        {"id": "q", "type": "text", "prompt": "?", "required": False, "next": [{"when": condition, "go": "yes"}]},
        *({"id": step, "type": "text", "prompt": "?", "required": False} for step in ("a", "n", "m")),
        {"id": "yes", "type": "info", "prompt": "."},
    ]
    survey = parse_definition(json.dumps({"id": "x", "title": "X", "language": "en", "steps": steps}), "stored")
    to, did_fail = survey.graph.next_step("q", {"q": answer})
    return "fails" if did_fail else "true" if to == "yes" else "false"


@pytest.mark.parametrize("block", [block for block in blocks(TEXT, "yaml") if not block.startswith("#")])
def test_example_loads(block: str) -> None:
    """A complete file as it is, a list of steps inside a file; without a warning."""
    head = IN_TWO_LANGUAGES if "{en: " in block else HEAD
    survey, findings = check_survey(block if block.startswith("id:") else head + block, "example.yaml")
    assert findings == ()
    assert survey is not None


@pytest.mark.parametrize(("text", "message"), REFUSED.findall(PAGE))
def test_wrong_file_is_refused_as_printed(text: str, message: str) -> None:
    """With the message that stands below it."""
    with pytest.raises(SurveyFileError) as refused:
        parse_survey(text, "visit.yaml")
    assert str(refused.value) == message


def test_answers_lead_where_the_tables_say() -> None:
    """Each row answers the steps in order."""
    walked = [example for example in examples() if example.table.header == ("Answers", "Current step")]
    assert walked
    for example in walked:
        for answers, step in example.table.rows:
            walk = Walk(parse_survey(example.survey, "example.yaml"))
            for name, value in yaml.safe_load(unquoted(answers)).items():
                walk.do(Answer(at=0, step=name, value=value))
            assert walk.state is not None
            assert walk.state.current_step == unquoted(step), answers


def test_commands_do_what_the_tables_say() -> None:
    """Each row continues the row above it."""
    walked = [table for table in tables(TEXT) if table.header == ("Command", "Current step", "Answers")]
    complete = {parse_survey(block, "x.yaml").id: block for block in blocks(TEXT, "yaml") if block.startswith("id:")}
    assert len(walked) == 4
    for table, survey_id in zip(walked, ("about-you", "well-being", "visit", "tried"), strict=True):
        walk = Walk(parse_survey(complete[survey_id], "example.yaml"))
        for command, step, answers in table.rows:
            state = walk.do(command_in(unquoted(command)))
            assert (state.current_step, state.answers) == (unquoted(step), yaml.safe_load(unquoted(answers))), command


@pytest.mark.parametrize(("condition", "result"), rows("Condition", "Result"))
def test_condition_on_missing_answers_gives_its_result(condition: str, result: str) -> None:
    """With no step answered."""
    assert result_of(unquoted(condition), None) == result


@pytest.mark.parametrize(("condition", "answer", "result"), rows("Condition", "`answer`", "Result"))
def test_condition_on_an_answer_gives_its_result(condition: str, answer: str, result: str) -> None:
    """The answer as JSON has it: 3 is an integer, 3.0 a double."""
    assert result_of(unquoted(condition), json.loads(unquoted(answer))) == result


@pytest.mark.parametrize(("pattern", "accepted", "rejected"), rows("Pattern", "Accepts", "Rejects"))
def test_pattern_takes_whole_answers(pattern: str, accepted: str, rejected: str) -> None:
    """Texts under Accepts are accepted, and those under Rejects are not."""
    step = {"id": "a", "type": "text", "prompt": "?", "pattern": unquoted(pattern)}
    survey = parse_survey(json.dumps({"id": "x", "title": "X", "language": "en", "steps": [step]}), "x.json")
    begun = apply(None, decide(survey, None, Begin(at=0)))  # type: ignore[arg-type]  # the first command is accepted
    for cell, is_accepted in ((accepted, True), (rejected, False)):
        for text in re.findall(r"`([^`]+)`", cell):
            event = decide(survey, begun, Answer(at=0, step="a", value=text))
            assert isinstance(event, Answered) is is_accepted, text


def test_checks_have_the_outcomes_of_the_table() -> None:
    """Errors refuse an answer, and warnings ask about it once."""
    (example,) = (example for example in examples() if example.table.header == ("Answer", "Outcome"))
    survey = parse_survey(example.survey, "example.yaml")
    names = {"invalid_answer": "refused", "confirm": "asked"}
    for cell, outcome in example.table.rows:
        value, _, confirmed = cell.partition(", ")
        command = Answer(at=0, step="weight", value=json.loads(unquoted(value)), confirmed=bool(confirmed))
        made = decide(survey, Walk(survey).state, command)
        shown = f"{names[made.code]}: {made.message}" if isinstance(made, Rejection) else "stored"
        assert shown == outcome, cell


FIELDS = {
    "choice": "options: [control, {value: other, other: true}]",
    "choices": "options: [Rest, Tablets]",
    "ranking": "options: [work, sleep, sport]",
    "scale": "min: 0, max: 10",
}


@pytest.mark.parametrize(("types", "defaults"), rows("Type", "`default`"))
def test_default_is_written_as_the_table_says(types: str, defaults: str) -> None:
    """Either one for each of the types, or all for the one type or for each."""
    named = [name for name in re.findall(r"`(\w+)`", types) if name in STEP_TYPES]
    written = re.findall(r"`(default: [^`]+)`", defaults)
    pairs = zip(named, written, strict=True) if len(named) == len(written) else itertools.product(named, written)
    for name, default in pairs:
        step = ", ".join(("id: a, prompt: P", f"type: {name}", default, *([FIELDS[name]] if name in FIELDS else [])))
        assert check_survey(f"{HEAD}  - {{{step}}}\n", "example.yaml")[1] == (), step


@pytest.mark.parametrize(("text", "html", "plain"), rows("Text", "HTML", "Plain text"))
def test_markdown_is_shown_as_the_table_says(text: str, html: str, plain: str) -> None:
    """On the page, where line breaks between elements are spaces, and everywhere else."""
    shown = MarkdownText(unquoted(text))
    assert (shown.html.replace("\n", " "), str(shown)) == (unquoted(html), unquoted(plain))


def test_every_field_of_the_format_is_in_a_table() -> None:
    """A field cannot be added without the page."""
    documented = {
        name
        for table in tables(TEXT)
        if table.header == ("Field", "Default", "Meaning")
        for row in table.rows
        for name in re.findall(r"`(\w+)`", row[0])
    }
    schema = Survey.model_json_schema(mode="validation")
    models = [schema, *schema["$defs"].values()]
    fields = {name for model in models for name in model.get("properties", ())}
    assert documented == fields - {"go"}
    assert {row[0].split("`")[1] for row in rows("Type", "Answer")} == set(
        schema["properties"]["steps"]["items"]["discriminator"]["mapping"]
    )


def section(anchor: str) -> str:
    """Return a section of the page, with those below it."""
    (heading,) = (line for line in re.findall(r"^#+ .+$", PAGE, re.MULTILINE) if anchor_of(line) == anchor)
    level = heading.index(" ")
    following = PAGE[PAGE.index(f"\n{heading}\n") + 2 + level :]
    return re.split(rf"^#{{1,{level}}} ", following, maxsplit=1, flags=re.MULTILINE)[0]


def used(part: Any) -> Iterator[tuple[str, str]]:
    """Yield the type of step (or the empty text) and the name of each field in an example."""
    for item in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from used(item)
    if isinstance(part, dict):
        yield from ((part.get("type", ""), name) for name in part)


EXAMPLES = [one for block in blocks(TEXT, "yaml") if not block.startswith("#") for one in used(yaml.safe_load(block))]


@pytest.mark.parametrize(("name", "link"), re.findall(r"^\| \[`(\w+)`\]\(#([\w-]+)\)", PAGE, re.MULTILINE))
def test_every_field_of_a_type_is_in_its_section_and_in_an_example(name: str, link: str) -> None:
    """So that authors need not guess how to write it."""
    own = STEP_TYPES[name].model_fields.keys() - BaseStep.model_fields.keys() - {"type"}
    cells = [row[0] for table in tables(section(link)) if table.header[0] == "Field" for row in table.rows]
    assert own <= {field for cell in cells for field in re.findall(r"`(\w+)`", cell)}
    assert own | {"type"} <= {field for step_type, field in EXAMPLES if step_type == name}


def test_every_field_of_other_parts_is_in_an_example() -> None:
    """Of the survey, of all steps, and of options, checks, endings, pictures and codes."""
    models = (Survey, BaseStep, Option, Rule, Check, Ending, Image, Code)
    assert {field for model in models for field in model.model_fields} <= {field for _, field in EXAMPLES}


def test_fields_in_several_languages_are_listed() -> None:
    """Everywhere else a map of languages is a mistake."""
    models: tuple[type[StrictModel], ...] = (Survey, Ending, Option, Row, Check, Image, *STEP_TYPES.values())
    texts = {name for model in models for name, field in model.model_fields.items() if is_text_field(field)}
    sentence = re.search(r"These are texts: (.+?)\.\s", PAGE, re.DOTALL)
    assert sentence is not None
    assert set(re.findall(r"`(\w+)`", sentence[1])) == texts


def test_revision_stays_when_only_the_spelling_changes() -> None:
    """Comments, quotes, the order of fields, written defaults, access and retention are not part of it."""
    survey = parse_survey(HEAD + "  - {id: a, type: text, prompt: P}\n", "x.yaml")
    same = parse_survey(
        "title: 'Example' # a comment\nid: example\nlanguage: en\naccess: closed\nretention: 1d\n"
        "steps:\n  - {type: text, prompt: P, required: true, id: a, max_length: 10000}\n",
        "x.yaml",
    )
    assert same.revision == survey.revision
    assert parse_survey(HEAD + "  - {id: a, type: text, prompt: Q}\n", "x.yaml").revision != survey.revision
    assert (
        parse_survey("expires_after: 1d\n" + HEAD + "  - {id: a, type: text, prompt: P}\n", "x.yaml").revision
        != survey.revision
    )


@pytest.mark.parametrize(("example", "result"), [row[2:] for row in rows("Function", "Meaning", "Example", "Result")])
def test_function_gives_its_result(example: str, result: str) -> None:
    """With no step answered."""
    expression = compile_expression(unquoted(example), Names(answers=frozenset({"q"})))
    assert expression.value(Scope({}, all_ids=("q",))) == json.loads(unquoted(result))


def test_functions_are_those_of_conditions() -> None:
    """The tables and the paragraph below name each function and macro; ``label`` is for texts that have expressions."""
    section = PAGE[PAGE.index("### Functions") : PAGE.index("### Missing answers")]
    paragraph = section[section.index("CEL also has") :]
    cells = " ".join(cell for row in rows("Function", "Meaning", "Example", "Result") for cell in row[:2])
    named = set(re.findall(r"(\w+)\(", cells)) | set(re.findall(r"`(\w+)`", paragraph))
    assert named == (FUNCTIONS - {"label"}) | {"has", "all", "exists", "exists_one", "map", "filter"}
    assert f"at most {MAX_LENGTH:,} characters" in PAGE
