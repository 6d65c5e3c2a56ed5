"""Stepkeep keeps a person's place in a survey.

The map, from the doors inwards (imports go this way only, ``make check`` holds it)::

    web | cli  ->  operations  ->  access, database  ->  service  ->  store  ->  catalogue  ->  survey  ->  errors

* ``survey/``     what a survey is, its step types, and what a command does to a session: pure values and functions
* ``catalogue``   the survey files that this server offers
* ``store/``      rows, transactions, retries, group commit; what waits while the database is away (``pending``)
* ``service``     :class:`~app.sessions.service.SessionStore`, the doors' only way in
* ``database``    :func:`~app.database.get_database`, the simple Python API
* ``access/``     who may do what: tokens, API keys, sign-ins, revocations
* ``operations/`` what is done for long, or beside the turns: changing keys, expiry and erasing by age, backups and
  moving house, exports, a survey's figures, delivering webhooks, verifying and rebuilding, demo data
* ``cli/``        the operators' commands
* ``web/``        the REST and WebSocket doors and the page
* ``client/``     the Python client of the socket: what an integrator's program imports, and nothing of the server

Between the service and the store, each one noun: ``reader`` (what doors read), ``removal`` (erasing and setting aside),
``forks``, ``validation`` (what may be saved),
``revisions`` (surveys that sessions are pinned to), ``listeners`` (who shows which session), ``news/`` (what other
processes changed), ``patience`` (waiting for a while only), ``snapshot`` (a session as doors show it).

Below all: ``metrics`` (what is counted) and ``tracing`` (spans, where they are wanted).

One answer's walk is straight: ``web/socket.py`` receives a frame, ``web/messages.py`` makes it a
command, ``SessionStore.submit_or_accept`` queues it, ``store/writer.py`` takes what waits, ``store/batch.py`` reads the
sessions locked, asks ``survey/flow.py`` to decide, folds the events with ``survey/state.py``, and writes the
history rows and the session rows and commits; only then are the senders told. Where that takes too long,
``store/pending.py`` accepts the command, and it takes the same way when the database is back.
"""
