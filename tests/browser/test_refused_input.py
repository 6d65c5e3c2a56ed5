"""Input that the server refuses: the participant is told in words, and it never blocks what comes after it."""

from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, WebSocketRoute, expect

from app.web.ws import messages
from tests.browser.participant import Message, Participant
from tests.conftest import Server
from tests.databases import create_sqlite

pytestmark = pytest.mark.browser

SURVEY = """
id: entry
title: t
language: en
steps:
  - {id: S1, type: text, prompt: "Where does it hurt?", max_length: 60000}
  - {id: S2, type: number, prompt: "How much?"}
  - {id: S3, type: text, prompt: "Anything else?"}
"""

SENT = [
    "null",
    "true",
    "-0.5",
    "2 ** 53 - 1",
    "1e-300",
    "'emoji \\u{1f600}, a family \\u{1f468}\\u200d\\u{1f469}\\u200d\\u{1f467}, right to left \\u202b\\u05d0\\u202c'",
    "'\\u0001\\u0007\\u001b\\u007f\\ufffe\\ufeff\\r\\n\\t'",
    "'x'.repeat(65000)",
    "[1, { a: ['b'] }]",
    "JSON.parse('['.repeat(32) + ']'.repeat(32))",
]
"""JavaScript values that both sides accept."""

REFUSED = [
    "'a\\0b'",
    "'half an emoji \\ud83d'",
    "'\\ude00'",
    "{ '\\ud83d': 1 }",
    "{ a: ['\\0'] }",
    "Infinity",
    "NaN",
    "2 ** 53",
    "9007199254740993",
    "-(2 ** 60)",
    "undefined",
    "[, 1]",
    "1n",
    "new Date()",
    "new Map()",
    "(() => 1)",
    "JSON.parse('['.repeat(33) + ']'.repeat(33))",
    "((a) => (a.push(a), a))([])",
    "'x'.repeat(70000)",
    "'\\u{1f600}'.repeat(20000)",
]
"""JavaScript values that the client refuses: the server would, or JSON can't represent them."""

PROBLEMS = """async () => {
  const { sendProblem } = await import("/assets/client/strict-json.js");
  return [%s].map((value) => {
    const message = { type: "answer", id: "x", step: "S1", value };
    const problem = sendProblem(message);
    return [problem, problem === null ? JSON.stringify(message) : null];
  });
}"""
START = """async (surveyId) => {
  const { SurveyClient } = await import("/assets/client/client.js");
  window.client = new SurveyClient({ origin: location.origin, surveyId, userId: `p-${Date.now()}`, });
  await window.client.start();
}"""


DATES = """
id: dates
title: t
language: en
steps:
  - {id: S1, type: date, prompt: "When were you born?"}
  - {id: S2, type: date, prompt: "When was it built?", min: "0100-01-01"}
  - {id: S3, type: text, prompt: "Anything else?"}
"""


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a survey of text and number fields."""
    folder = tmp_path_factory.mktemp("entry")
    surveys = folder / "surveys"
    surveys.mkdir()
    (surveys / "entry.yaml").write_text(SURVEY)
    (surveys / "dates.yaml").write_text(DATES)
    create_sqlite(folder / "sessions.db")
    server = Server(folder, surveys, environment={"STEPKEEP_SESSION_VERSIONS": "100"})
    server.start()
    yield server
    server.stop()


@pytest.fixture
def participant(context: BrowserContext, entry: Server) -> Participant:
    return Participant(context, entry.url)


@pytest.fixture
def page(context: BrowserContext, entry: Server) -> Page:
    """A page of the server's origin without scripts."""
    plain = context.new_page()
    plain.goto(f"{entry.url}/healthz")
    return plain


def enter(participant: Participant, text: str) -> None:
    """Put the JavaScript string into the field, as a paste or dictation does."""
    participant.field().evaluate(
        "(field, value) => { field.value = value; field.dispatchEvent(new Event('input', { bubbles: true })); }",
        participant.page.evaluate_handle(text),
    )


def test_client_refuses_what_the_server_refuses(page: Page) -> None:
    """In words; everything else is a message that the server accepts."""
    for problem, sent in page.evaluate(PROBLEMS % ", ".join(SENT)):
        assert problem is None
        assert messages.parse(sent)
    for problem, _ in page.evaluate(PROBLEMS % ", ".join(REFUSED)):
        assert problem.startswith("This ")


def test_promise_of_a_refused_value_settles_and_the_next_command_is_saved(page: Page) -> None:
    """Neither is it sent nor stored."""
    page.evaluate(START, "entry")
    refused = page.evaluate("() => window.client.answer('S1', 'half \\ud83d')")
    assert (refused["type"], refused["code"]) == ("reject", "invalid_answer")
    assert "after “half”" in refused["message"]
    assert page.evaluate("() => window.client.draft('S1', '\\0')") is False
    assert page.evaluate("() => window.client.answer('S1', 'whole')")["type"] == "ack"
    assert page.evaluate("() => window.client.unacknowledged") == 0


@pytest.mark.parametrize(
    "value", ['"\\ud83d"', '"\\u0000"', "9007199254740993", '{"a":1,"a":2}', "[" * 5000 + "]" * 5000]
)
def test_promise_settles_when_only_the_server_refuses(page: Page, value: str) -> None:
    """The command leaves the outbox, and the next one is saved."""

    def change(socket: WebSocketRoute) -> None:
        upstream = socket.connect_to_server()
        socket.on_message(lambda frame: upstream.send(str(frame).replace('"poison"', value)))

    page.route_web_socket("**/ws/survey/**", change)
    page.evaluate(START, "entry")
    refused, saved = page.evaluate(
        "() => Promise.all([window.client.answer('S1', 'poison'), window.client.answer('S1', 'behind')])"
    )
    assert (refused["type"], refused["code"]) == ("error", "malformed")
    assert saved["session"]["answers"] == {"S1": "behind"}
    assert page.evaluate("() => window.client.unacknowledged") == 0


def test_promises_settle_when_the_client_is_stopped(page: Page) -> None:
    """Also those of a stopped client; the commands stay in the outbox, and are sent after the next start."""
    silent = [True]

    def swallow(socket: WebSocketRoute) -> None:
        upstream = socket.connect_to_server()
        socket.on_message(lambda frame: None if silent[0] else upstream.send(frame))

    page.route_web_socket("**/ws/survey/**", swallow)
    page.evaluate(START, "entry")
    stopped = page.evaluate(
        """async () => {
            const first = window.client.answer("S1", "kept");
            window.client.stop();
            return [await first, await window.client.back(), window.client.unacknowledged];
        }"""
    )
    assert [answer["code"] for answer in stopped[:2]] == ["stopped", "stopped"]
    assert stopped[2] == 2
    silent[0] = False
    page.evaluate("() => window.client.start()")
    page.wait_for_function("() => window.client.unacknowledged === 0")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("'My knee \\ud83d'", "a character that can't be saved, after “My knee”"),
        ("'\\0'", "a character that can't be saved, at its start"),
        ("'\\u{1f600}'.repeat(20000)", "too long to be sent"),
    ],
)
def test_text_that_cannot_be_saved_is_refused_in_words_and_blocks_nothing(
    participant: Participant, text: str, words: str
) -> None:
    """While it is typed, and when Next is pressed; the rest of the survey is saved, also after a reload."""
    participant.open("entry")
    participant.expect_step("S1")
    enter(participant, text)
    expect(participant.page.locator("#problem")).to_contain_text(words)
    participant.next()
    expect(participant.page.locator("#problem")).to_contain_text(words)
    participant.expect_step("S1")
    participant.page.reload()
    participant.expect_step("S1")
    expect(participant.field()).not_to_have_value("")
    participant.write("S1", "knee")
    participant.write("S2", "3")
    participant.expect_step("S3")
    assert participant.answered("entry") == [("S1", "knee"), ("S2", 3)]


def test_full_session_is_told_in_words_and_keeps_what_was_saved(participant: Participant, entry: Server) -> None:
    """The refused answer leaves the outbox, so the page does not say that it is still saving."""
    with httpx.Client(base_url=entry.url) as client:
        for number in range(99):
            body = {"type": "mode", "id": f"{number}", "audio": False}
            client.post("/api/session/full/commands?survey=entry", json=body).raise_for_status()
    participant.open("entry", user="full")
    participant.expect_step("S1")
    participant.type("My knee")
    participant.next()
    expect(participant.page.locator("#problem")).to_contain_text("this session is full")
    participant.expect_step("S1")
    expect(participant.field()).to_have_value("My knee")


@pytest.mark.parametrize("digits", ["9007199254740993", "9" * 400, "123456789012345678.5"])
def test_number_that_would_be_rounded_is_refused_in_words(participant: Participant, digits: str) -> None:
    participant.open("entry")
    participant.write("S1", "knee")
    participant.write("S2", digits)
    expect(participant.page.locator("#problem")).to_contain_text("digits")
    participant.write("S2", "123456789012345")
    participant.expect_step("S3")
    assert participant.answered("entry") == [("S1", "knee"), ("S2", 123456789012345)]


def test_year_of_two_digits_is_refused_in_words(participant: Participant) -> None:
    """As by the server: before 1000, unless the step's first date is earlier. Years have at most four digits."""
    participant.open("dates")
    participant.expect_step("S1")
    for day, problem in (("0085-05-03", "four digits, such as 1985"), ("12345-05-03", "up to December 31, 9999")):
        enter(participant, repr(day))
        participant.next()
        expect(participant.page.locator("#problem")).to_contain_text(problem)
    participant.write("S1", "1985-05-03")
    participant.write("S2", "0285-05-03")
    participant.expect_step("S3")
    assert participant.answered("dates") == [("S1", "1985-05-03"), ("S2", "0285-05-03")]


@pytest.mark.parametrize("text", ["\u202eright to left \u05d0\u200f", "👨‍👩‍👧 😀", "a\tb\x01\x7f", "1" * 16_000])
def test_unusual_text_is_saved_unchanged(participant: Participant, text: str) -> None:
    participant.open("entry")
    participant.write("S1", text)
    participant.expect_step("S2")
    assert participant.answered("entry") == [("S1", text)]


STORE = """([owner, commands]) => new Promise((resolve, reject) => {
  const opening = indexedDB.open("stepkeep");
  opening.onerror = reject;
  opening.onsuccess = () => {
    const transaction = opening.result.transaction("outbox", "readwrite");
    for (const text of commands) {
      const command = JSON.parse(text);
      transaction.objectStore("outbox").add({ owner, id: command.id, command });
    }
    transaction.oncomplete = () => { opening.result.close(); resolve(); };
  };
})"""


@pytest.mark.parametrize("value", ['"knee \\ud83d"', '"\\u0000"', '"' + "x" * 70_000 + '"'])
def test_outbox_of_an_earlier_version_recovers_at_the_next_load(
    participant: Participant, entry: Server, value: str
) -> None:
    """The command is removed, its step is shown with the words and the input, and what follows is saved."""
    participant.open("entry")
    participant.expect_step("S1")
    user_id = participant.user_id()
    participant.page.goto(f"{entry.url}/healthz")
    poison = f'{{"type":"answer","step":"S1","value":{value},"id":"{user_id}-1"}}'
    behind = f'{{"type":"mode","audio":true,"id":"{user_id}-2"}}'
    participant.page.evaluate(STORE, [f"entry {user_id}", [poison, behind]])
    participant.open("entry")
    expect(participant.page.locator("#problem")).to_contain_text("This answer")
    expect(participant.page.locator("#resumed")).to_be_hidden()
    expect(participant.field()).not_to_have_value("")
    participant.expect_step("S1")
    expect(participant.root).to_have_attribute("data-mode", "audio")
    participant.write("S1", "knee")
    participant.expect_step("S2")
    participant.page.reload()
    participant.expect_step("S2")
    assert participant.answered("entry") == [("S1", "knee")]


def test_command_that_only_the_server_refuses_leaves_the_page_s_outbox(participant: Participant) -> None:
    """The participant is told, the input stays, and the next answer is saved."""

    def refuse(message: Message, reply: Callable[[Message], None]) -> bool:
        if message.get("value") == "refused" and message["type"] == "answer":
            reply({"type": "error", "id": message["id"], "code": "malformed", "message": "message.value: not accepted"})
            return False
        return True

    participant.intercept(refuse)
    participant.open("entry")
    participant.write("S1", "refused")
    expect(participant.page.locator("#problem")).to_contain_text("could not be saved as it is")
    expect(participant.field()).to_have_value("refused")
    participant.write("S1", "accepted")
    participant.expect_step("S2")
    assert participant.answered("entry") == [("S1", "accepted")]
