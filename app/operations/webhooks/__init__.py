"""Webhooks: programs elsewhere are told that a session began, was completed, or expired.

What happened lies in the outbox since the very transaction in which it happened (``store/batch.py``): nothing is told
that was not committed, and nothing committed goes untold. From there it is delivered at least once: a receiver
knows by ``webhook-id`` what it has had. The form is that of Standard Webhooks 1.0.

* ``signing``    secrets, signatures, ids and what is sent: pure
* ``pace``       when to try again, and when to leave an address alone: pure
* ``addresses``  whom a webhook may reach: no address inside of the operator's network
* ``posting``    one request, bounded in time and size
* ``lane``       what is on its way to one webhook
* ``deliver``    the thread that empties the outbox
* ``endpoints``  adding, changing, trying and removing webhooks, for the doors
"""
