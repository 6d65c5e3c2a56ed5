"""The Python client of the survey WebSocket (PROTOCOL.md): it reconnects, sends again, and loses no answer.

::

    with SurveyClient("https://surveys.example", "ada", outbox=FileOutbox("ada.outbox")) as client:
        client.wait_until_online(10)
        ack = client.answer("Q1", 2).result(30)

A command goes into the outbox first and leaves it when the server has answered it for good. So whatever ends in
between, the connection, the server or this process, it is sent again under the same id, and the server does it
once. Commands go out in the order in which they were given, always: one thread sends, from one queue, and a new
connection begins that queue again with the oldest unanswered one. (A command that gets a passing error on a
connection that stays open is sent again before all that follow it, but some of those may have gone out already, and
be done first. Our server closes the connection with such an error.)

A server in production wants a token (``token=``), and closes when it doesn't hold, or holds no more: then commands get
NotAdmitted, the client has stopped, and a new one with a token that holds delivers what waits in the outbox.

Imports nothing of the server. Needs the extra ``client`` (websockets).

* ``survey_client``  :class:`SurveyClient`: connects, receives, sends
* ``outbox``         where commands are kept until they are answered: in memory, in a file
* ``admission``      the token that it shows, and when it is turned away
* ``attempts``       how often it connects, and when
* ``send_queue``     what is to be sent on this connection, in order
* ``sent``           a command on its way
* ``wire``           one message on one WebSocket
* ``times``          attempts and waits
* ``errors``         what can go wrong
"""

from .command import Sent
from .errors import (
    BadToken,
    ClientClosed,
    CommandRefused,
    CommandTooLarge,
    NotAdmitted,
    NotSendable,
    OutboxFailed,
    OutboxInUse,
    OutboxOfAnother,
    RefusedForGood,
    Rejected,
)
from .outbox import FileOutbox, MemoryOutbox, Outbox
from .survey_client import SurveyClient
from .timeouts import ClientTimes

__all__ = [
    "BadToken",
    "ClientClosed",
    "ClientTimes",
    "CommandRefused",
    "CommandTooLarge",
    "FileOutbox",
    "MemoryOutbox",
    "NotAdmitted",
    "NotSendable",
    "Outbox",
    "OutboxFailed",
    "OutboxInUse",
    "OutboxOfAnother",
    "RefusedForGood",
    "Rejected",
    "Sent",
    "SurveyClient",
]
