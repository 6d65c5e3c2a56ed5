"""Message ids that the server generates."""

import uuid

from app.core.message_ids import new_message_id


def test_message_id_is_a_uuid_of_version_7() -> None:
    """RFC 9562: the version, the variant, and the time in the first 48 bits."""
    message_id = uuid.UUID(new_message_id())
    assert (message_id.version, message_id.variant) == (7, uuid.RFC_4122)


def test_message_ids_are_distinct_and_ordered_by_time() -> None:
    ids = [new_message_id() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    times = [message_id[:12] for message_id in ids]
    assert times == sorted(times)
