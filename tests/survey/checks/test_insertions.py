"""Insertions in texts: their expressions, and whether they have a value where they are shown."""

import pytest

from tests.survey.checks.test_names import FAILS, found_in

HEAD = """\
id: a
title: t
language: en
languages: [en, de]
markdown: true
parameters:
  name: {type: text, from: url, default: ""}
  clinic: {type: choice, options: [north, south], from: url, required: false}
values:
  bmi: round(answers.weight / (answers.height * answers.height), 1)
"""


def test_every_text_in_every_language_is_checked_at_its_place() -> None:
    """Also within a longer text, and over several lines."""
    text = (
        HEAD.replace("title: t", 'title: "{{ answers.c }}"').replace("languages", "description: '{{ x }}'\nlanguages")
        + """\
steps:
  - id: c
    type: choice
    prompt: {en: "A {{ answers.cc }}", de: "B {{ label(answers.c, 1) }} {{ parameters.nam }}"}
    help: |
      One

      and {{ values.bmo }}.
    audio: 'It''s {{ "a" + 1 }}'
    image: {file: a.png, alt: "{{ answer }}"}
    options:
      - {value: x, label: "{{ answers.c == 'z' }}", audio: "{{ label(answers.x) }}"}
      - {value: y, image: {file: b.png, alt: "{{ }}"}}
      - "{{ answers.d }}"
    check:
      - {that: answer == "x", message: "{{ answers.c === 1 }}"}
  - {id: height, type: number, prompt: P, min: 0.4, unit: "{{ x }}", placeholder: "{{ x }}"}
  - {id: weight, type: scale, prompt: "\\u00e9 {{ x }}", min: 0, max: 1, min_label: "{{ x }}", max_label: "{{ x }}"}
end:
  - {title: "{{ x }}", text: "{{ x }}", redirect: "https://a.example/?a={{ x }}"}
"""
    )
    found = [one for one in found_in(text) if "warning" not in one]
    unknown = (
        "'x' does not exist; there are `answers`, `now`, `parameters`, `today` and `values`; write \"x\" for a text"
    )
    assert found == [
        (
            "2:12: title: answers and values are not known before the first question;"
            " title and description can read parameters, today and now"
        ),
        f"4:18: description: {unknown}",
        "15:24: step c: prompt.en: answers.cc names a step that is not in the survey; did you mean c?",
        (
            "15:50: step c: prompt.de: label() takes the answer to a step, such as label(answers.Q1), but no row of a "
            "grid, parameter or value"
        ),
        "15:76: step c: prompt.de: parameters.nam names a parameter that is not in the survey; did you mean name?",
        "19:14: step c: help: values.bmo names a value that is not in the survey; did you mean bmi?",
        f"20:22: step c: audio: {FAILS}a text and a number cannot be added",
        (
            "21:35: step c: image.alt: 'answer' does not exist here;"
            " write answers and the id of the step, such as answers.height"
        ),
        '23:31: step c: options[0].label: answers.c is never "z": its answers are "x", "y", "{{ answers.d }}"',
        "23:64: step c: options[0].audio: answers.x names a step that is not in the survey",
        "24:47: step c: options[1].image.alt: an insertion needs an expression, such as answers.height",
        "25:13: step c: options[2]: answers.d names a step that is not in the survey",
        "27:56: step c: check[0].message: not a CEL expression: unexpected =: write == to compare",
        f"28:63: step height: unit: {unknown}",
        f"28:87: step height: placeholder: {unknown}",
        f"29:50: step weight: prompt: {unknown}",
        f"29:88: step weight: min_label: {unknown}",
        f"29:110: step weight: max_label: {unknown}",
        f"31:17: end[0].title: {unknown}",
        f"31:34: end[0].text: {unknown}",
        f"31:76: end[0].redirect: {unknown}",
    ]


def test_title_and_description_read_parameters_and_the_time() -> None:
    text = KNOWN.replace(
        "title: t", 'title: "{{ today }} {{ parameters.north }}"\ndescription: "{{ parameters.name }}"'
    )
    (found,) = found_in(text + STEPS % FIELDS)
    assert found.startswith("3:18: warning: description: {{ parameters.name }} may have no value")


@pytest.mark.parametrize(
    ("prompt", "single", "meant"),
    [
        ("Hi { parameters.north }!", "{ parameters.north }", "{{ parameters.north }}"),
        ("${answers.n + 1}", "{answers.n + 1}", "{{ answers.n + 1 }}"),
        ("\\\\{{ answers.n }}, {n} and {{ today }}", None, None),
    ],
)
def test_insertion_in_single_braces_is_a_warning(prompt: str, single: str | None, meant: str | None) -> None:
    """As other programs write them: the participant would read the expression."""
    found = [one.partition("prompt: ")[2] for one in found_in(KNOWN + STEPS % {**FIELDS, "prompt": prompt})]
    assert found == ([] if single is None else [f"{single} is shown as it is; write {meant} to insert the value"])


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        (
            "{{ answers.a",
            "{{ begins an insertion, and needs }} after its expression; for two literal braces, write \\{{",
        ),
        ("[a](https://a.example/{{answers.a}})", "the target of a link cannot have an insertion"),
        *(
            (link, "the target of a link cannot have an insertion")
            for link in (
                "<https://a.example/{{today}}>",
                "[a](https://{{ answers.a }}.example/)",
                "[a](mailto:{{ answers.a }})",
                "[a]({{ answers.a }})",
                "![a](<{{ answers.a }}>)",
                "**[*a*](https://a.example/?b=1&c={{ answers.a }})**",
            )
        ),
        ("[{{ answers.a }}](https://a.example/) ({{ answers.a }}) [{{ answers.a }}]", None),
        (r"\\{{ answers.x }}", None),
    ],
)
def test_insertion_has_an_end_and_is_in_no_link(prompt: str, problem: str | None) -> None:
    text = f"""\
id: a
title: t
language: en
markdown: true
steps:
  - {{id: a, type: number, prompt: P}}
  - {{id: b, type: number, prompt: "{prompt}"}}
"""
    found = [one.partition(" ")[2] for one in found_in(text)]
    assert found == ([] if problem is None else [f"step b: prompt: {problem}"])


STEPS = """\
steps:
  - {id: smokes, type: boolean, prompt: P, next: [{when: answer, go: daily}, {when: parameters.north == true, go: z}]}
  - {id: no, type: text, prompt: P}
  - {id: daily, type: number, prompt: P, show_if: answers.smokes == true}
  - {id: o, type: choice, prompt: P, options: [a, b], required: false}
  - {id: n, type: number, prompt: P, check: [{that: answer > answers.daily, message: "%(message)s"}]}
  - {id: q, type: info, prompt: "%(prompt)s"}
  - {id: s, type: info, prompt: "%(smoking)s", show_if: answers.daily > 3}
  - {id: l, type: choice, prompt: P, options: [a, {value: b, label: "%(option)s", show_if: answered(answers.o)}]}
  - {id: m, type: text, prompt: P, next: [{when: answers.n > 3, go: end}]}
  - {id: z, type: text, prompt: "%(last)s"}
end:
  - {when: values.sum > 5, title: "%(sum)s"}
  - {when: answers.m == null, title: T}
  - {title: "%(end)s"}
"""
FIELDS = dict.fromkeys(("message", "prompt", "smoking", "option", "last", "sum", "end"), "P")
KNOWN = """\
id: a
title: t
language: en
parameters:
  name: {type: text, from: url, required: false}
  north: {type: boolean, from: url}
values:
  sum: answers.n + answers.daily
"""

COVERED = (
    ("prompt", "coalesce(answers.daily, 0)"),
    ("prompt", "answers.smokes"),
    ("prompt", "answers.n"),
    ("prompt", "today"),
    ("prompt", "parameters.north"),
    ("prompt", "answered(answers.o) ? answers.o : 'none'"),
    ("prompt", "answers.smokes ? string(answers.daily) : 'none'"),
    ("prompt", "answers.smokes ? 'yes' : answers.no"),
    ("prompt", "coalesce(values.sum, parameters.name, '')"),
    ("prompt", "parameters.name == null ? 'You' : parameters.name"),
    ("smoking", "answers.daily"),
    ("smoking", "values.sum"),
    ("option", "label(answers.o)"),
    ("message", "answers.daily"),
    ("message", "answers.n"),
    ("sum", "values.sum"),
    ("last", "answers.smokes"),
    ("end", "answers.m"),
    ("end", "answers.n > 3 ? '' : answers.z"),
)
EMPTY = (
    ("prompt", "answers.daily", "answers.daily"),
    ("prompt", "answers.o", "answers.o"),
    ("prompt", "label(answers.o)", "answers.o"),
    ("prompt", "answers.no", "answers.no"),
    ("prompt", "answers.m", "answers.m"),
    ("prompt", "values.sum * 2", "answers.daily"),
    ("prompt", "parameters.name", "parameters.name"),
    ("prompt", "'Dear ' + parameters.name", "parameters.name"),
    ("prompt", "answers.smokes ? 0 : answers.daily", "answers.daily"),
    ("smoking", "answers.o", "answers.o"),
    ("option", "answers.daily", "answers.daily"),
    ("message", "answers.o", "answers.o"),
    ("last", "answers.o", "answers.o"),
    ("last", "answers.n", "answers.n"),
    ("last", "answers.z", "answers.z"),
    ("end", "answers.z", "answers.z"),
    ("end", "values.sum", "answers.daily"),
)


def warnings(field: str, source: str) -> list[str]:
    return [one.partition(" ")[2] for one in found_in(KNOWN + STEPS % {**FIELDS, field: f"{{{{ {source} }}}}"})]


@pytest.mark.parametrize(("field", "source"), COVERED)
def test_insertion_that_has_a_value_on_every_route_is_accepted(field: str, source: str) -> None:
    """The rules, show_if and the expression itself play together."""
    assert warnings(field, source) == []


@pytest.mark.parametrize(("field", "source", "missing"), EMPTY)
def test_insertion_that_may_have_no_value_is_a_warning(field: str, source: str, missing: str) -> None:
    """With what may be missing."""
    (found,) = warnings(field, source)
    assert found.startswith("warning: ")
    reason = f"may have no value, as {missing} may be missing here; write coalesce({source}, '...')"
    assert found.endswith(f": {{{{ {source} }}}} {reason}")


PAGES = """\
id: a
title: t
language: en
steps:
  - {id: first, type: boolean, prompt: P, next: [{when: answer, go: rest}]}
  - id: body
    type: page
    prompt: "%(page)s"
    fields:
      - {id: height, type: number, prompt: "%(field)s", check: [{that: answer > 1, message: "%(message)s"}]}
      - {id: smokes, type: boolean, prompt: P}
      - {id: count, type: number, prompt: P, show_if: answers.smokes == true}
      - {id: note, type: text, prompt: P, required: false, max_length: 9}
    check: [{that: answer.height > answers.count, message: "%(together)s"}]
    next: [{when: 'answer.height > 2', go: tall}]
  - {id: rest, type: info, prompt: "%(rest)s"}
  - {id: tall, type: info, prompt: "%(tall)s", show_if: answers.count > 3}
end:
  - {when: answers.height > 2, title: "%(end)s"}
"""
PLACES = dict.fromkeys(("page", "field", "message", "together", "rest", "tall", "end"), "P")


@pytest.mark.parametrize(
    ("place", "source", "missing"),
    [
        ("page", "answers.first", None),
        ("page", "answers.height", "answers.height"),
        ("field", "answers.smokes", "answers.smokes"),
        ("message", "answers.height", None),
        ("message", "answers.smokes ? string(answers.count) : 'none'", None),
        ("message", "answers.count", "answers.count"),
        ("message", "answers.note", "answers.note"),
        ("together", "answers.count", None),
        ("rest", "answers.height", "answers.height"),
        ("rest", "answers.first ? '' : string(answers.height)", None),
        ("tall", "answers.count", None),
        ("tall", "answers.height", None),
        ("tall", "answers.note", "answers.note"),
        ("end", "answers.smokes", None),
        ("end", "answers.first", None),
    ],
)
def test_insertion_reads_fields_of_pages(place: str, source: str, missing: str | None) -> None:
    """They may be hidden, optional, on a page that a rule leads around, or on the page itself."""
    found = found_in(PAGES % {**PLACES, place: f"{{{{ {source} }}}}"})
    assert [f"as {missing} may be missing here" in one for one in found] == ([] if missing is None else [True])


HEAVY = "[[1]]" + ".map(x, x + x)" * 13 + "[0].all(x, x == 1) ? 1 : 0"
INSERTED = f"{{{{ {HEAVY} }}}}"


@pytest.mark.parametrize(
    ("values", "step", "problem"),
    [
        (9, "prompt: '1'", "values before this"),
        (1, "prompt: '1', show_if: values.v0 > 1", "conditions of the route before this"),
        (1, "prompt: '1', check: [{that: values.v0 > 1, message: '1'}]", None),
        (1, "prompt: '{{ values.v0 }}'", None),
        (0, f"prompt: '{INSERTED * 4}', help: '{INSERTED * 4}'", "insertions of the step before this"),
        (0, f"prompt: {{en: '{INSERTED * 4}', de: '{INSERTED * 4}'}}", None),
    ],
)
def test_values_and_insertions_take_a_limited_number_of_steps(
    values: int, step: str, problem: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value counts at each step whose condition reads it; texts count together with those of one language."""
    monkeypatch.setattr("app.survey.checks.costs.MAX_STEPS_OF_COMMAND", 200_000)
    computed = ", ".join(f"v{number}: '{HEAVY}'" for number in range(values))
    steps = "".join(f"  - {{id: S{number}, type: info, {step}}}\n" for number in range(9))
    text = f"id: a\ntitle: '1'\nlanguage: en\nlanguages: [en, de]\nvalues: {{{computed}}}\nsteps:\n{steps}"
    found = found_in(text)
    assert bool(found) is (problem is not None)
    assert all(str(problem) in one for one in found)


@pytest.mark.parametrize(
    ("prompt", "is_missing"), [("{{ answers.a }}", False), ("{{ answers.a == 1 ? 'Yes' : 'No' }}", True)]
)
def test_text_that_is_only_an_insertion_needs_no_translation(prompt: str, is_missing: bool) -> None:
    """Unless its words are in the expression."""
    steps = f"steps:\n  - {{id: a, type: number, prompt: '1'}}\n  - {{id: b, type: info, prompt: \"{prompt}\"}}\n"
    found = found_in(HEAD.partition("parameters:")[0].replace("title: t", "title: '1'") + steps)
    assert len(found) is int(is_missing)
    assert all("no text in de" in one for one in found)
