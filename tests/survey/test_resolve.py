"""Steps for one session: the options that are shown, computed bounds and defaults, the order of options."""

import hashlib
from typing import Any

import pytest

from app.survey import client_steps, markdown
from app.survey.client_steps import client_form
from app.survey.expressions import Scope
from app.survey.resolve import client_step, depends_on, described_step, display_order, resolve
from app.survey.snapshot import SessionKey, Snapshot
from tests.survey.test_flow import at
from tests.survey.test_walk import survey

NOON = 1_796_040_000_000_000  # 2026-11-30T12:00Z

VARYING = survey("""
  - {id: born, type: date, max: "{{ today }}"}
  - {id: low, type: number}
  - {id: high, type: number, required: false, min: "{{ answers.low }}", max: "{{ answers.low * 2 }}",
     default: "{{ answers.low + 1 }}"}
  - {id: clash, type: number, required: false, min: "{{ answers.low }}", max: 10}
  - {id: pick, type: choices, options: [a, {value: b, show_if: answers.low > 1}, {value: c, show_if: answers.low > 2}],
     min_choices: 2, default: [a, b]}
  - {id: none, type: choice, options: [{value: x, show_if: answers.low > 5}]}
  - {id: alone, type: choices, options: [a, {value: b, show_if: answers.low > 1}, {value: c, exclusive: true}],
     min_choices: 2}
  - {id: since, type: month, default: "{{ today }}"}
  - {id: rank, type: ranking, options: [a, {value: b, show_if: answers.low > 1}], default: [a]}
""")


def resolved(step: str, answers: dict[str, Any]) -> Any:
    scope = Scope(answers, None, VARYING.graph.ids, "2026-11-30T12:00")
    return resolve(VARYING, VARYING.steps_by_id[step], scope, scope)


@pytest.mark.parametrize(
    ("step", "answers", "fields"),
    [
        ("born", {}, {"max": "2026-11-30", "min": None}),
        ("high", {"low": 3}, {"min": 3, "max": 6, "default": 4}),
        ("high", {"low": 2.5}, {"min": 2.5, "max": 5, "default": 3.5}),
        ("high", {}, {"min": None, "max": None, "default": None}),
        ("clash", {"low": 4}, {"min": 4, "max": 10}),
        ("pick", {"low": 3}, {"min_choices": 2, "max_choices": 3, "default": ["a", "b"]}),
        ("pick", {"low": 2}, {"min_choices": 2, "max_choices": 2, "default": ["a", "b"]}),
        ("pick", {"low": 1}, {"min_choices": 1, "max_choices": 1, "default": None}),
        ("alone", {"low": 2}, {"min_choices": 2}),
        ("alone", {"low": 1}, {"min_choices": 1}),
        ("since", {}, {"default": "2026-11"}),
        ("rank", {"low": 1}, {"default": ["a"]}),
        ("rank", {"low": 2}, {"default": None}),
        ("none", {"low": 9}, {"required": True}),
        ("none", {"low": 1}, {"required": False, "options": ()}),
    ],
)
def test_fields_are_those_of_the_session(step: str, answers: dict[str, Any], fields: dict[str, Any]) -> None:
    """Computed with the field's type; what has no value is absent, and a default that is no answer too."""
    found = resolved(step, answers).step
    assert {name: getattr(found, name) for name in fields} == fields
    assert all(type(getattr(found, name)) is type(value) for name, value in fields.items())


@pytest.mark.parametrize(
    ("chosen", "hidden", "fits"),
    [
        (["a", "b"], [], True),
        (["a"], [], False),
        (["a"], ["b"], True),
        (["c"], ["a", "b"], True),
        ([], ["a", "b"], False),
        ([], ["a", "b", "c"], True),
        ([{"b": 1}, ["b"], {"value": ["b"], "text": ""}], ["b"], True),
    ],
)
def test_answer_fits_when_fewer_options_can_be_chosen_together(
    chosen: list[Any], hidden: list[str], fits: bool
) -> None:
    """Options that exclude all others do not count, or only they could be chosen. A saved answer can have any items."""
    alone: Any = VARYING.steps_by_id["alone"]
    assert alone.fits_options(chosen, frozenset(hidden)) is fits


def test_conflicting_bounds_are_ignored_and_reported() -> None:
    """Else no answer would be accepted."""
    step, has_conflict = resolved("clash", {"low": 20})
    assert (step.min, step.max, has_conflict) == (None, None, True)
    assert resolved("clash", {"low": 2}).has_conflicting_bounds is False


def test_options_are_those_that_are_shown() -> None:
    """In the order of the file."""
    assert [option.value for option in resolved("pick", {"low": 2}).step.options] == ["a", "b"]


def test_step_of_the_client_names_the_answers_that_it_depends_on() -> None:
    """A step that is the same in every session names none."""
    snapshot = Snapshot(
        key=SessionKey("example", "ann"), state=at("high", {"born": "2000-01-01", "low": 3}), survey=VARYING
    )
    fields = snapshot.draw_step(NOON).fields
    assert fields is not None
    assert (fields["min"], fields["max"], fields["default"], fields["depends_on"]) == (3, 6, 4, ["low"])
    assert depends_on(VARYING, "low") == {}
    assert depends_on(VARYING, "born") == {"depends_on": []}
    assert {"show_if", "next", "check", "computed"}.isdisjoint(fields)


def test_described_step_has_all_options_and_nothing_computed() -> None:
    """Of no session: a client must not draw one that depends on answers."""
    described = described_step(VARYING, VARYING.steps_by_id["pick"])
    assert [option["value"] for option in described["options"]] == ["a", "b", "c"]
    assert "show_if" not in str(described)
    high = described_step(VARYING, VARYING.steps_by_id["high"])
    assert (high["min"], high.get("default"), high["depends_on"]) == (None, None, ["low"])


PAGE = survey(
    """
  - {id: low, type: number}
  - id: body
    type: page
    prompt: p
    fields:
      - {id: n, type: number, min: "{{ answers.low }}", max: "{{ answers.low + 2 }}", default: "{{ answers.low + 1 }}"}
      - {id: clash, type: number, min: "{{ answers.low }}", max: 10}
      - {id: since, type: date, max: "{{ today }}", show_if: answers.n > 3}
      - {id: pick, type: choice, order: random, options: [a, {value: b, show_if: answers.low > 1}],
         show_if: answers.low > 0}
      - {id: note, type: info, help: "**{{ answers.low }}**"}
""",
    "markdown: true\n",
)


def fields_of(step: Any) -> dict[str, Any]:
    return {field.pop("id"): field for field in step["fields"]}


def test_fields_of_a_page_are_those_of_the_session() -> None:
    """With their bounds, defaults, options and texts; a default is neither an answer nor a draft."""
    snapshot = Snapshot(key=SessionKey("example", "ann"), state=at("body", {"low": 20}), survey=PAGE)
    step, has_conflict = snapshot.draw_step(NOON)
    fields = fields_of(step)
    assert (fields["n"]["min"], fields["n"]["max"], fields["n"]["default"]) == (20, 22, 21)
    assert (fields["clash"]["min"], fields["clash"]["max"], has_conflict) == (None, None, True)
    assert (fields["since"]["max"], fields["since"]["show_if"]) == ("2026-11-30", "answers.n > 3")
    assert ({one["value"] for one in fields["pick"]["options"]}, "show_if" in fields["pick"]) == ({"a", "b"}, False)
    assert (fields["note"]["help"], fields["note"]["html"]["help"]) == ("20", "<p><strong>20</strong></p>")
    assert (snapshot.state.draft, dict(snapshot.state.answers)) == (None, {"low": 20})


def test_described_page_has_all_fields_and_options_and_nothing_computed() -> None:
    """Only conditions on fields of the page itself, which its clients evaluate."""
    fields = fields_of(described_step(PAGE, PAGE.steps_by_id["body"]))
    assert list(fields) == ["n", "clash", "since", "pick", "note"]
    assert (fields["n"]["min"], fields["n"]["max"], "default" in fields["n"]) == (None, None, False)
    assert [one["value"] for one in fields["pick"]["options"]] == ["a", "b"]
    assert {name for name, field in fields.items() if "show_if" in field} == {"since"}


RANDOM = survey("""
  - id: colour
    type: choices
    prompt: p
    order: random
    options: [red, green, blue, 4, {value: none, fixed: true}]
""")


def test_random_order_is_that_of_the_hashes() -> None:
    """SHA-256 of survey, user, step and value, joined by NUL; fixed options keep their place."""
    step: Any = RANDOM.steps_by_id["colour"]
    digests = {
        value: hashlib.sha256(f"example\0ann\0colour\0{value}".encode()).digest()
        for value in ("red", "green", "blue", 4)
    }
    expected = [*sorted(digests, key=digests.__getitem__), "none"]
    shown = client_step(RANDOM, step, "ann")
    assert [option["value"] for option in shown["options"]] == expected
    assert [option.value for option in step.options] == ["red", "green", "blue", 4, "none"]


def test_fixed_option_keeps_its_place_in_the_middle() -> None:
    """The others fill what is left."""
    step: Any = survey("""
  - {id: s, type: choice, order: random, options: [a, {value: mid, fixed: true}, b, c]}
""").steps_by_id["s"]
    orders = {tuple(option.value for option in display_order(step.options, ("x", f"u{n}", "s"))) for n in range(40)}
    assert len(orders) > 3
    assert {order[1] for order in orders} == {"mid"}


MARKED_OPTIONS = """
  - {id: low, type: number}
  - id: pick
    type: choices
    order: random
    min_choices: "{{ answers.low }}"
    prompt: "*p*"
    help: "*help*"
    options:
      - {value: a, label: "**A**"}
      - {value: b, label: "*B*", show_if: answers.low > 1, image: {file: b.png, alt: "*b*"}}
      - {value: c, label: C, show_if: answers.low > 2, fixed: true}
      - {value: 4, label: "*4*"}
"""


@pytest.mark.parametrize("low", [1, 2, 3])
@pytest.mark.parametrize("is_markdown", ["true", "false"])
def test_options_of_the_client_are_those_of_the_step(low: int, is_markdown: str) -> None:
    """What the client gets is the same as if the step of the session were written out anew."""
    marked = survey(MARKED_OPTIONS, f"markdown: {is_markdown}\n")
    scope = Scope({"low": low}, None, marked.graph.ids, "2026-11-30T12:00")
    step: Any = resolve(marked, marked.steps_by_id["pick"], scope, scope).step
    shown = client_step(marked, step, "ann")
    in_order = display_order(step.options, ("example", "ann", "pick"))
    assert shown == {**client_form(step.model_copy(update={"options": in_order})), "depends_on": ["low"]}
    assert shown["min_choices"] == low
    assert ("html" in shown) is (is_markdown == "true")


def test_texts_are_parsed_once_for_all_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of many options would take milliseconds a message."""
    marked = survey(MARKED_OPTIONS, "markdown: true\n")
    snapshot = Snapshot(key=SessionKey("example", "ann"), state=at("pick", {"low": 3}), survey=marked)
    first = snapshot.draw_step(NOON).fields
    monkeypatch.setattr(markdown, "_PARSER", None)
    assert snapshot.draw_step(NOON).fields == first


def test_steps_are_written_out_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first message of a long survey waits for its own step only, and later ones for none."""
    written: list[str] = []

    def count(step: Any) -> dict[str, Any]:
        written.append(step.id)
        return {"id": step.id}

    monkeypatch.setattr(client_steps, "client_form", count)
    steps = survey(MARKED_OPTIONS).client_steps
    assert [steps["pick"], steps["pick"], list(steps), steps.get("none")] == [{"id": "pick"}] * 2 + [
        ["low", "pick"],
        None,
    ]
    assert written == ["pick"]


@pytest.mark.parametrize(
    ("answers", "bounds", "has_conflict"),
    [
        ({"n": 2}, (2, 7), False),
        ({"n": 2.5}, (-3, 7), False),
        ({}, (-3, 7), False),
        ({"n": 9}, (-3, 7), True),
        ({"n": -5000}, (-3, 7), True),
    ],
)
def test_scale_always_has_bounds(answers: dict[str, Any], bounds: tuple[int, int], has_conflict: bool) -> None:
    """Ten points where a computed bound has no value, or conflicts with the other."""
    scales = survey("""
  - {id: n, type: number}
  - {id: s, type: scale, min: "{{ answers.n }}", max: 7, default: 3}
  - {id: z, type: info, show_if: answers.s == 5}
""")
    scope = Scope(answers, None, scales.graph.ids, "2026-11-30T12:00")
    step, is_conflicting = resolve(scales, scales.steps_by_id["s"], scope, scope)
    assert ((step.min, step.max), is_conflicting) == (bounds, has_conflict)
