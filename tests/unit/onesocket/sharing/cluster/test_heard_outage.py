"""The outage that a leader tells of, as the next leader resumes it."""

from onesocket import State
from onesocket.errors import ConnectionRefused, HandshakeRejected
from onesocket.lifecycle._events import EarlierConnection
from onesocket.sharing.cluster._heard_outage import HeardOutage
from tests.unit.onesocket.sharing.cluster.test_leader_status import status

REFUSED = ConnectionRefused("no")
NAMED = HandshakeRejected("later", status=503, retryable=True, retry_after=30)


def test_the_end_of_a_leader_with_a_connection_is_one_loss() -> None:
    outage = HeardOutage()
    assert outage.earlier(100) == EarlierConnection()
    outage.note(status(State.CONNECTED), 100)
    assert outage.earlier(200) == EarlierConnection()
    outage.note(status(State.CONNECTED, attempt=2), 100)  # it has not proved itself
    assert outage.earlier(200) == EarlierConnection(failures=3)


def test_failures_and_their_back_off_go_on() -> None:
    outage = HeardOutage()
    outage.note(status(State.BACKING_OFF, attempt=1, retry_in=0.0, last_error=REFUSED), 100)
    outage.note(status(State.CONNECTING, attempt=1, last_error=REFUSED), 100)
    assert outage.earlier(102) == EarlierConnection(away=2, error=REFUSED)
    outage.note(status(State.BACKING_OFF, attempt=2, retry_in=7.0, last_error=REFUSED), 110)
    assert outage.earlier(112) == EarlierConnection(failures=2, away=12, back_off=5, error=REFUSED)
    assert outage.earlier(120) == EarlierConnection(failures=2, away=20, error=REFUSED)
    outage.note(status(State.CONNECTED, attempt=0), 130)
    assert outage.earlier(131) == EarlierConnection()


def test_a_date_that_the_server_named_outlives_a_leader_until_a_connection_is_up() -> None:
    outage = HeardOutage()
    outage.note(status(State.BACKING_OFF, attempt=1, retry_in=30.0, last_error=NAMED), 100)
    assert outage.earlier(110) == EarlierConnection(wait=20, away=10, back_off=20, error=NAMED)
    outage.note(status(State.DISCONNECTED), 115)
    assert outage.earlier(120).wait == 10
    outage.note(status(State.CONNECTED), 121)
    assert outage.earlier(122) == EarlierConnection()


def test_a_date_of_the_last_owner_of_the_host_counts() -> None:
    outage = HeardOutage()
    outage.begin(EarlierConnection(wait=40), 100)
    outage.begin(EarlierConnection(), 105)
    assert outage.earlier(110) == EarlierConnection(wait=30)
