"""Mistakes in YAML, in an author's words."""

import re

import yaml

_QUOTES = 'put the text into quotes: "..."'

_OTHER_QUOTES = "the text ends before this; put all of it into quotes, of the other kind if it has some: '...'"

DECIMAL = "a comma ends a number inside {{ }} or [ ]; write {number}"
COMMA = f"a comma ends a text inside {{ }} or [ ]; {_QUOTES}"
NO_QUESTION_MARK = f"`?` cannot be in a text inside {{ }} or [ ]; {_QUOTES}"

NO_KEY = f"a text can't begin with `{{` or `[`; {_QUOTES}, or leave out the braces of a condition"
_INDENTATION = "this does not fit the lines above: align it with them, or put the text above it into quotes"
_LIST = "this is in line with the `- ` above: begin an item with `- `, or align a field with those of its item"
_ENDS_EARLY = (
    f"the `{{start}}` in line {{line}} is not closed before this: a comma or `{{end}}` is missing, or {_QUOTES}"
)

_COLON = f"a colon is not possible here; if it belongs to a text, {_QUOTES}; else align the key with those above it"
_NEVER_CLOSED = "the quotes that begin here are never closed"
_ESCAPE = r"\\\1 means nothing in double quotes; write \\\\\1, or use single quotes"

_MESSAGES = (
    (r"found character '\\t'", "a tab, which YAML does not allow here; use spaces"),
    (r"found character '(.)'", rf"a text can't begin with \1; {_QUOTES}"),
    (r"mapping values are not allowed", _COLON),
    (r"could not find expected ':'", "this line has no colon: write `key: value`"),
    (r"found unexpected end of stream", _NEVER_CLOSED),
    (r"found undefined alias '(.*)'", rf"there is no anchor &\1 above; if it is text, {_QUOTES}"),
    (r"second occurrence", "this anchor occurs twice; use another name"),
    (r"found unknown escape character '(.)'", _ESCAPE),
    (r"but found another document", "a file has one survey: remove the line `---`"),
    (r"could not determine a constructor", f"a text can't begin with `!`; {_QUOTES}"),
    (r"expected alphabetic or numeric character", f"a text can't begin with `*` or `&`; {_QUOTES}"),
    (r"a comment or a line break|chomping", f"after `|` or `>` the text begins on the next line; or {_QUOTES}"),
    (r"for merging", "`<<` needs an anchor with fields, such as *name"),
    (r"(sequence entries|mapping keys) are not allowed", f"`- ` and `? ` can't begin a text; {_QUOTES}"),
    (r"the node content, but found '<(stream|document) end>'", "the file ends before a `}` or `]`"),
    (r"expected the node content", f"a text can't begin like this; {_QUOTES}"),
    (r"but (?:got|found) '(?:\?|<scalar>)'", _OTHER_QUOTES),
)  # fmt: skip


def explain(error: yaml.MarkedYAMLError) -> tuple[str, yaml.Mark | None]:
    problem = str(error.problem or error.context)
    if problem in {NO_KEY, NO_QUESTION_MARK}:
        return problem, error.problem_mark
    if "end of stream" in problem and "quoted" in str(error.context):
        return _NEVER_CLOSED, error.context_mark
    if "block collection" in str(error.context) and _column(error.problem_mark) == _column(error.context_mark):
        return _LIST, error.problem_mark
    brackets = {"while parsing a flow mapping": "{}", "while parsing a flow sequence": "[]"}.get(str(error.context))
    if brackets is not None and error.context_mark is not None and not re.search(r"got '(\?|<scalar>)'", problem):
        line = error.context_mark.line + 1
        return _ENDS_EARLY.format(start=brackets[0], end=brackets[1], line=line), error.problem_mark
    for pattern, message in _MESSAGES:
        found = re.search(pattern, problem)
        if found is not None:
            return found.expand(message), error.problem_mark
    return _INDENTATION, error.problem_mark


def _column(mark: yaml.Mark | None) -> int | None:
    return None if mark is None else mark.column
