"""The ids that we make ourselves."""

import uuid

from app.core.message_ids import new_message_id


def test_message_id_is_a_uuid_of_version_7() -> None:
    """RFC 9562: the version, the variant, and the time in the first 48 bits."""
    made = uuid.UUID(new_message_id())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_message_ids_are_distinct_and_in_the_order_of_time() -> None:
    """The first twelve digits never fall, and no id comes twice."""
    made = [new_message_id() for _ in range(10_000)]
    assert len(set(made)) == len(made)
    times = [one[:12] for one in made]
    assert times == sorted(times)
