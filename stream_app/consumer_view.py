"""What the aiokafka 0.14.0 consumer under Faust's knows of its partitions, by attributes that it has no methods for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def consumer_under(faust_consumer: Any) -> Any:
    """The aiokafka consumer that Faust's consumer drives; None before it is made."""
    return getattr(getattr(faust_consumer, "_thread", None), "_consumer", None)


class ConsumerView:
    """What the consumer knows of its partitions, read without waiting and without its assertions.

    Also from other threads than the consumer's: each reading is of one attribute, which is replaced whole.
    """

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def assignment(self) -> Iterable[Any]:
        """The partitions of this worker, each (topic, number)."""
        return list(self._consumer.assignment())

    def last_fetch(self, partition: Any) -> tuple[int, int] | None:
        """(end offset, milliseconds since 1970) of the last fetch; None before one, and once the partition is gone.

        The end is that of what may be read: an open transaction's records and all after them are not there yet.
        """
        state = self._state(partition)
        if state is None or not state.timestamp or state.highwater is None:
            return None
        # It is -1, or None, from a server that does not say.
        stable = state.lso
        return (state.highwater if stable is None or stable < 0 else stable), state.timestamp

    def position(self, partition: Any) -> int | None:
        """Where it reads on: past transactions' markers and what retention removed. None while it is not known."""
        state = self._state(partition)
        return None if state is None else state._position

    def _state(self, partition: Any) -> Any:
        subscription = self._consumer._subscription.subscription
        assignment = None if subscription is None else subscription.assignment
        return None if assignment is None else assignment.state_value(partition)


def view_of(faust_consumer: Any) -> ConsumerView | None:
    """The view of the consumer under Faust's; None before it is made."""
    consumer = consumer_under(faust_consumer)
    return None if consumer is None else ConsumerView(consumer)
