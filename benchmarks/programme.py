"""The contests, their entrants and settings."""

from collections.abc import Sequence

from benchmarks.contest import Contest, Entrant, Setting

CALLERS = (1, 8, 64, 256, 1024)
PEER_CALLERS = (1, 64, 256)
SIZES = (1_000, 100_000, 1_000_000)
QUICK_SIZES = (1_000, 100_000)
LENGTHS = (10, 100, 1000, 10_000)

OURS, RAW, ORM, PEER = "stepkeep", "raw", "orm", "peer"

THREADS = "Stepkeep, threads"
GREENLETS = "Stepkeep, greenlets"
MANY = "Stepkeep, submit_many"
RAW_DRIVER = "raw driver"
POOL = "a transaction a turn, pool of 16"
ORM_SESSION = "an ORM session a turn"


def contests(*, quick: bool) -> list[Contest]:
    """Return the contests of a run in order."""
    seconds = 0.4 if quick else 1.0
    sizes = QUICK_SIZES if quick else SIZES
    turns = {
        "sqlite": [*_stepkeep(), *_raw("sqlite"), _orm(), *_sqlite_peers()],
        "postgresql": [*_stepkeep(), *_raw("postgresql"), _pool(), _orm(), *_postgresql_peers()],
        "mariadb": [*_stepkeep(), *_raw("mariadb"), _pool(), _orm()],
    }
    weights = {"sqlite": 8.0, "postgresql": 7.0, "mariadb": 5.0}
    result = [
        Contest(name=name, database=name, entrants=entrants, weight=weights[name], seconds=seconds)
        for name, entrants in turns.items()
    ]
    result += [
        Contest(name=f"loads-{name}", database=name, entrants=[_loads()], weight=1.0, seconds=seconds) for name in turns
    ]
    result += [
        Contest(name=f"growth-{name}", database=name, entrants=_growth(name, sizes), weight=4.0, seconds=seconds / 2)
        for name in ("sqlite", "postgresql")
    ]
    result.append(
        Contest(name="lengths-sqlite", database="sqlite", entrants=[_lengths()], weight=1.0, seconds=seconds / 2)
    )
    return result


def _turns(callers: Sequence[int], what: str = "turns") -> list[Setting]:
    return [Setting(what=what, callers=count) for count in callers]


def _stepkeep() -> list[Entrant]:
    module = "benchmarks.stepkeep"
    return [
        Entrant(name=THREADS, module=module, family=OURS, settings=_turns(CALLERS)),
        Entrant(name=GREENLETS, module=module, family=OURS, settings=_turns(CALLERS), is_gevent=True),
        Entrant(name=MANY, module=module, family=OURS, settings=_turns(CALLERS, "groups")),
    ]


def _raw(database: str) -> list[Entrant]:
    settings = [*_turns((1,)), *_turns(CALLERS[1:], "groups")]
    if database == "postgresql":
        settings += _turns(CALLERS[1:], "pipelined")
    return [Entrant(name=RAW_DRIVER, module="benchmarks.raw_driver", family=RAW, settings=settings)]


def _pool() -> Entrant:
    return Entrant(name=POOL, module="benchmarks.raw_pool", family=RAW, settings=_turns((64, 256)))


def _orm() -> Entrant:
    return Entrant(name=ORM_SESSION, module="benchmarks.orm", family=ORM, settings=_turns((64,)))


def _peer(name: str, module: str, *, is_gevent: bool = False, **options: str | int) -> Entrant:
    return Entrant(
        name=name,
        module=f"benchmarks.peers.{module}",
        family=PEER,
        settings=_turns(PEER_CALLERS[1:] if is_gevent else PEER_CALLERS),
        options=options,
        is_gevent=is_gevent,
    )


def _sqlite_peers() -> list[Entrant]:
    agents = "openai_agents"
    return [
        _peer("langgraph SqliteSaver, threads", "langgraph_savers"),
        _peer("langgraph SqliteSaver, greenlets", "langgraph_savers", is_gevent=True),
        _peer("langgraph SqliteSaver with put_writes, threads", "langgraph_savers", writes=True),
        _peer("openai-agents SQLiteSession", agents, **{"class": "SQLiteSession"}),
        _peer("openai-agents SQLAlchemySession", agents, **{"class": "SQLAlchemySession"}),
        _peer("openai-agents SQLAlchemySession, pool of 1", agents, **{"class": "SQLAlchemySession", "connections": 1}),
        _peer("google-adk DatabaseSessionService", "adk"),
        _peer("google-adk DatabaseSessionService, pool of 1", "adk", connections=1),
        _peer("Flask-Session sqlalchemy, threads", "flask_sessions", backend="sqlalchemy"),
        _peer("Flask-Session sqlalchemy, greenlets", "flask_sessions", is_gevent=True, backend="sqlalchemy"),
        _peer("Flask-Session cachelib files, threads", "flask_sessions", backend="cachelib"),
    ]


def _postgresql_peers() -> list[Entrant]:
    return [
        _peer("langgraph PostgresSaver, threads", "langgraph_savers"),
        _peer("langgraph PostgresSaver, greenlets", "langgraph_savers", is_gevent=True),
        _peer("langgraph PostgresSaver with put_writes, threads", "langgraph_savers", writes=True),
        _peer("openai-agents SQLAlchemySession", "openai_agents", **{"class": "SQLAlchemySession"}),
        _peer("google-adk DatabaseSessionService", "adk"),
        _peer("Flask-Session sqlalchemy, threads", "flask_sessions", backend="sqlalchemy"),
        _peer("Flask-Session sqlalchemy, greenlets", "flask_sessions", is_gevent=True, backend="sqlalchemy"),
    ]


def _loads() -> Entrant:
    return Entrant(name=THREADS, module="benchmarks.loads", family=OURS, settings=_turns((1, 8), "loads"))


def _growth(database: str, sizes: Sequence[int]) -> list[Entrant]:
    settings = [Setting(what="append"), Setting(what="groups", callers=64), Setting(what="load"), Setting(what="list")]
    if database == "sqlite":
        settings.append(Setting(what="raw groups", callers=64))
    return [
        Entrant(
            name=f"{size:,} sessions",
            module="benchmarks.growth",
            family=OURS,
            settings=settings,
            options={"sessions": size},
        )
        for size in sizes
    ]


def _lengths() -> Entrant:
    settings = [*_turns(LENGTHS, "append"), Setting(what="at_version", callers=10_000)]
    return Entrant(name="long sessions", module="benchmarks.lengths", family=OURS, settings=settings)
