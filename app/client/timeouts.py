"""How often the client tries, and how long it waits: the settings of a client."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTimes:
    """How often the client tries, and how long it waits.

    Attributes:
        connect_attempts: quick attempts to connect; then slow ones for as long as the client is open.
        connect_delay_s: the longest wait after the first of them; doubles with each, up to ``connect_delay_max_s``.
            The wait is a random part of it, so that clients that lost one server don't come back as one.
        slow_delay_s: between two slow attempts, a quarter more or less.
        busy_delay_s: after the server said that it is overloaded (1013) or we are too fast (4429), up to half more.
        send_attempts: of one message on one connection; then the connection is made anew.
        send_delay_s: after the first of them; twice that after the second, and so on.
        unavailable_delay_s: before a command is sent again that got ``unavailable`` or ``rate_limited``; doubles
            while nothing is acknowledged, up to ``slow_delay_s``.
        open_timeout_s: for the connection and its handshake.
        state_timeout_s: for the server's first message after that.
        ping_interval_s: between two pings.
        ping_timeout_s: for a pong, and for TCP's own acknowledgement: then the network counts as dead.
        close_timeout_s: for the server's part of the closing handshake.
    """

    connect_attempts: int = 5
    connect_delay_s: float = 0.5
    connect_delay_max_s: float = 8.0
    slow_delay_s: float = 20.0
    busy_delay_s: float = 30.0
    send_attempts: int = 3
    send_delay_s: float = 0.2
    unavailable_delay_s: float = 1.0
    open_timeout_s: float = 10.0
    state_timeout_s: float = 30.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    close_timeout_s: float = 2.0


DEFAULT_TIMES = ClientTimes()
