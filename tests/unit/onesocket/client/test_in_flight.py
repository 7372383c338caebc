"""Messages that a connection is still writing: each is settled once, by the socket or by the end of the connection."""

from onesocket.client._delivery import Delivery
from onesocket.client._in_flight import InFlight


def test_they_are_settled_when_the_socket_has_taken_all() -> None:
    lost: list[list[Delivery]] = []
    in_flight = InFlight(lost.append)
    delivery = in_flight.add(Delivery("a"))
    in_flight.writable(False)
    assert (len(in_flight), delivery.done) == (1, False)
    in_flight.writable(True)
    assert (len(in_flight), delivery.done, delivery.error) == (0, True, None)
    in_flight.ended()
    assert lost == [[]]


def test_those_that_were_not_written_are_handed_back_once() -> None:
    lost: list[list[Delivery]] = []
    in_flight = InFlight(lost.append)
    delivery = in_flight.add(Delivery("a"))
    in_flight.ended()
    in_flight.writable(True)
    in_flight.ended()
    assert lost == [[delivery], []]
    assert not delivery.done
