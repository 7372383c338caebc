"""A session that one host of a cluster hands over to the next, sans-IO."""

from typing import Any

import pytest

from onesocket_discord.protocol import Dispatch, Identification, Intents
from onesocket_discord.protocol._identify_scheduler import ImmediateIdentify
from onesocket_discord.protocol._session_state import SessionState, SpentIdentifies, open_state, seal_state, state_key
from tests.unit.onesocket_discord.protocol.gateway_driver import RESUME_URL, TOKEN, URL, GatewayDriver

STATE = SessionState(URL, "the-session", RESUME_URL, 7, has_lost=False, spent=None, login="1 0/1")


class Slots(ImmediateIdentify):
    """Tells that 100 were used up."""

    def __init__(self) -> None:
        self.restored: list[SpentIdentifies] = []

    def spent(self) -> SpentIdentifies:
        return SpentIdentifies(900, None, 5.0)

    def restore(self, spent: SpentIdentifies) -> None:
        self.restored.append(spent)


def state_of(driver: GatewayDriver) -> bytes:
    state = driver.protocol.session_state()
    assert state is not None
    return state


def handed_over(state: bytes, *heard: Dispatch, **options: Any) -> GatewayDriver:
    """Another host's driver, which resumes."""
    driver = GatewayDriver(**options)
    driver.protocol.resume_session(state, heard)
    return driver


def dispatch(number: int, event: str = "MESSAGE_CREATE") -> Dispatch:
    return Dispatch(event, number, b"{}")


def test_another_host_resumes_behind_the_last_dispatch_at_the_resume_address() -> None:
    first = GatewayDriver().up()
    first.event("MESSAGE_CREATE", 2)
    second = handed_over(state_of(first)).open().hello()
    assert second.request is not None
    assert second.request.url.startswith(RESUME_URL)
    assert second.only == {"op": 6, "d": {"token": TOKEN, "session_id": "the-session", "seq": 2}}
    second.event("MESSAGE_CREATE", 3)
    assert [each.sequence for each in second.delivered] == [3]
    second.event("RESUMED", 4)
    assert second.is_ready == [True]


def test_what_was_heard_after_the_state_is_not_delivered_again() -> None:
    second = handed_over(seal_state(STATE, state_key(TOKEN)), dispatch(8), dispatch(9)).open().hello()
    assert second.only["d"]["seq"] == 9
    delivered = [number for number in (8, 9, 10) if second.event("MESSAGE_CREATE", number).delivered]
    assert delivered == [10]


def test_a_number_that_the_host_before_has_missed_is_a_loss() -> None:
    first = GatewayDriver().up()
    first.event("MESSAGE_CREATE", 3)
    second = handed_over(state_of(first)).open().hello()
    assert second.event("RESUMED", 4).is_ready == [False]


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"x",
        seal_state(STATE, state_key("another-token")),
        state_key(TOKEN) + b"no state",
        seal_state("no state", state_key(TOKEN)),  # type: ignore[arg-type]
    ],
)
def test_a_state_that_is_not_of_this_token_brings_the_token_nowhere(state: bytes) -> None:
    second = handed_over(state).open().hello()
    assert second.request is not None
    assert second.request.url.startswith(URL)
    assert second.only["op"] == 2


@pytest.mark.parametrize("other", [{"intents": Intents.GUILD_MESSAGES}, {"shard": (1, 2)}])
def test_a_session_of_another_shard_or_with_other_intents_is_not_resumed(other: dict[str, Any]) -> None:
    first, slots = GatewayDriver(scheduler=Slots()).up(), Slots()
    identification = Identification(**{"intents": Intents.GUILDS, **other})
    second = handed_over(state_of(first), identification=identification, scheduler=slots).open().hello()
    assert second.only["op"] == 2
    assert slots.restored == [SpentIdentifies(900, None, 5.0)]


def test_a_changed_state_is_no_state() -> None:
    sealed = seal_state(STATE, state_key(TOKEN))
    key = state_key(TOKEN)
    assert open_state(sealed, key) == STATE
    changed = (sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed)))
    assert {open_state(each, key) for each in changed} == {None}
    assert "the-session" not in repr(STATE)
    assert TOKEN.encode() not in sealed


@pytest.mark.parametrize("end", ["closing", "op 9", "forgotten", "4009"])
def test_a_session_that_has_ended_is_not_handed_over_but_its_identifies_are(end: str) -> None:
    first = GatewayDriver(scheduler=Slots()).up()
    match end:
        case "closing":
            first.protocol.closing(1000)
        case "op 9":
            first.say(9, d=False)
        case "4009":
            first.protocol.closed(4009, "")
        case _:
            first.protocol.forget_session()
    slots = Slots()
    second = handed_over(state_of(first.lose()), scheduler=slots).open().hello()
    assert second.only["op"] == 2
    assert slots.restored == [SpentIdentifies(900, None, 5.0)]


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_session_whose_connection_is_lost_or_closed_for_a_hand_over_is_handed_over(is_closed: bool) -> None:
    first = GatewayDriver().up()
    if is_closed:
        first.protocol.closing(first.protocol.session_close_code)
    second = handed_over(state_of(first.lose())).open().hello()
    assert second.only["op"] == 6


def test_nothing_is_told_before_the_token_is_known() -> None:
    driver = GatewayDriver()
    assert driver.protocol.session_state() == b""
    driver.protocol.resume_session(seal_state(STATE, state_key(TOKEN)), ())
    assert driver.protocol.session_state() is None
    assert open_state(state_of(driver.open()), state_key(TOKEN)) == STATE


def test_a_session_that_began_behind_the_state_is_not_mixed_up_with_that_of_the_state() -> None:
    second = handed_over(seal_state(STATE, state_key(TOKEN)), dispatch(8), dispatch(1, "READY")).open().hello()
    assert second.only["op"] == 2


def test_a_session_that_is_refused_is_begun_anew() -> None:
    second = handed_over(seal_state(STATE, state_key(TOKEN))).open().hello()
    second.say(9, d=False)
    second.lose()
    second.open().hello()
    assert second.only["op"] == 2
    assert second.request is not None
    assert second.request.url.startswith(URL)
