"""Identifies: spaced by bucket, counted for the day, the last ones kept."""

import asyncio

import pytest

from onesocket_discord.client._gateway_info import GatewayInfo
from onesocket_discord.client._identify_budget import IdentifyBudget, SessionStartLimit
from onesocket_discord.client._identify_slots import IdentifySlots
from onesocket_discord.client._token_state import GATEWAY_INFO_TTL, TokenState, TokenStates
from onesocket_discord.protocol import IdentifyBudgetExhausted
from onesocket_discord.protocol._limits import IDENTIFY_PERIOD, IDENTIFY_RESET, IDENTIFY_TOTAL
from onesocket_discord.protocol._session_state import SpentIdentifies
from tests.unit.virtual_time import on_virtual_time

P = IDENTIFY_PERIOD


def use(budget: IdentifyBudget, count: int, *, now: float = 0.0, keep: int | None = 0) -> None:
    for _ in range(count):
        budget.reserve(0, now, keep)
        budget.sent(0, now)


def test_without_a_word_from_the_server_one_identifies_at_a_time() -> None:
    budget = IdentifyBudget()
    assert [budget.reserve(shard, 100.0, None) for shard in range(4)] == [100, 100 + P, 100 + 2 * P, 100 + 3 * P]
    assert P >= 5


def test_buckets_dont_wait_for_each_other() -> None:
    budget = IdentifyBudget()
    budget.learn(SessionStartLimit(max_concurrency=4), 0.0)
    assert [budget.reserve(shard, 0.0, None) for shard in range(8)] == [0, 0, 0, 0, P, P, P, P]


def test_a_turn_that_was_used_late_holds_the_next_one_back() -> None:
    budget = IdentifyBudget()
    budget.reserve(0, 0.0, None)
    budget.sent(0, 3.0)
    assert budget.reserve(0, 3.0, None) == 3.0 + P
    assert budget.reserve(0, 100.0, None) == 100.0


def test_a_turn_that_is_given_back_is_free_unless_somebody_stands_behind_it() -> None:
    budget = IdentifyBudget()
    turn = budget.reserve(0, 0.0, None)
    budget.release(0, turn)
    assert budget.reserve(0, 0.0, None) == 0.0
    second = budget.reserve(0, 0.0, None)
    assert budget.reserve(0, 0.0, None) == 2 * P
    budget.release(0, second)
    assert budget.reserve(0, 0.0, None) == 3 * P


def test_the_last_ones_are_kept_unless_told_otherwise() -> None:
    budget = IdentifyBudget()
    budget.learn(SessionStartLimit(remaining=22, reset_after=3600.0), 1000.0)
    use(budget, 2, now=1000.0, keep=None)
    with pytest.raises(IdentifyBudgetExhausted, match="20 of 1000") as caught:
        budget.check(1060.0, None)
    assert caught.value.retry_after == 3540.0
    assert caught.value.retryable
    assert "identify_reserve" in str(caught.value)
    use(budget, 20, now=1100.0)
    with pytest.raises(IdentifyBudgetExhausted):
        budget.reserve(0, 1100.0, 0)
    budget.check(4600.0, None)  # the day is over


def test_who_has_a_turn_counts_already() -> None:
    budget = IdentifyBudget()
    budget.learn(SessionStartLimit(remaining=2), 0.0)
    turn = budget.reserve(0, 0.0, 0)
    budget.reserve(1, 0.0, 0)
    with pytest.raises(IdentifyBudgetExhausted):
        budget.reserve(2, 0.0, 0)
    budget.release(0, turn)
    budget.reserve(2, 0.0, 0)


def test_it_counts_by_itself_when_nobody_says_anything() -> None:
    budget = IdentifyBudget()
    use(budget, 1000)
    with pytest.raises(IdentifyBudgetExhausted) as caught:
        budget.check(10.0, 0)
    assert caught.value.retry_after == 86_390
    budget.check(86_400.0, 0)


def test_the_servers_word_corrects_the_count() -> None:
    budget = IdentifyBudget()
    use(budget, 1000)
    with pytest.raises(IdentifyBudgetExhausted):
        budget.check(5.0, 0)
    budget.learn(SessionStartLimit(remaining=500), 5.0)
    budget.check(5.0, 0)


def test_a_token_state_is_found_by_token_and_api_and_keeps_neither() -> None:
    states = TokenStates()
    state = states.of("https://a.test/api/", "s3cret-token")
    assert states.of("https://a.test/api", "s3cret-token") is state
    assert states.of("https://a.test/api", "another-token") is not state
    assert states.of("https://b.test/api", "s3cret-token") is not state
    assert "s3cret" not in f"{vars(states)} {state!r} {vars(state)}"


def test_token_states_are_bounded() -> None:
    states = TokenStates()
    first = states.of("a", "0")
    for number in range(5000):
        states.of("a", str(number + 1))
    assert len(vars(states)["_known"]) <= 4096
    assert states.of("a", "0") is not first


def test_the_shards_of_one_token_share_its_slots() -> None:
    states = TokenStates()
    slots = [IdentifySlots(shard, None) for shard in range(3)]
    for each in slots:
        each.token_state = states.of("a", "token")
    assert [each.reserve(0.0) for each in slots] == [0, P, 2 * P]
    slots[2].release()
    slots[0].sent(0.0)
    slots[0].release()  # nothing is left to give back
    assert slots[0].reserve(0.0) == 2 * P


@on_virtual_time
async def test_many_who_want_the_address_ask_once_until_it_is_old_or_fails() -> None:
    state = TokenState()
    asked: list[float] = []

    async def ask() -> GatewayInfo:
        asked.append(asyncio.get_running_loop().time())
        await asyncio.sleep(1)
        return GatewayInfo("wss://x/", limit=SessionStartLimit(remaining=0))

    many = await asyncio.gather(*(state.gateway(ask, failed=None) for _ in range(50)))
    assert {info.url for info in many} == {"wss://x/"}
    assert asked == [0]
    with pytest.raises(IdentifyBudgetExhausted):
        state.budget.check(1.0, 0)
    await state.gateway(ask, failed="wss://x/")
    assert asked == [0, 1]
    await asyncio.sleep(GATEWAY_INFO_TTL)
    await state.gateway(ask, failed=None)
    assert len(asked) == 3


def test_the_next_host_of_a_cluster_counts_what_the_one_before_has_used() -> None:
    first, second = IdentifyBudget(), IdentifyBudget()
    first.learn(SessionStartLimit(1000, 30, 600.0), 100.0)
    first.reserve(0, 100.0, None)
    first.sent(0, 100.0)
    spent = first.spent(0, 101.0, wall=5000.0)
    assert (spent.remaining, spent.reset_at, spent.next_slot) == (29, 5599.0, 5000.0 + P - 1)
    second.restore(spent, 0, 7.0, wall=5001.0)
    assert second.reserve(0, 7.0, None) == 7.0 + P - 2
    for _ in range(8):
        second.reserve(0, 7.0, None)
    with pytest.raises(IdentifyBudgetExhausted) as caught:
        second.reserve(0, 7.0, None)
    assert caught.value.retry_after == 598.0


def test_hosts_that_lead_by_turns_count_what_all_of_them_have_used() -> None:
    hosts = IdentifyBudget(), IdentifyBudget()
    spent = SpentIdentifies(1000, None, 0.0)
    for turn in range(6):
        leading = hosts[turn % 2]
        leading.restore(spent, 0, 7.0, wall=5000.0)
        leading.reserve(0, 7.0, None)
        leading.sent(0, 7.0)
        spent = leading.spent(0, 7.0, wall=5000.0)
    assert spent.remaining == IDENTIFY_TOTAL - 6


def test_a_wrong_clock_of_the_host_before_delays_by_one_period_at_most() -> None:
    budget = IdentifyBudget()
    budget.restore(SpentIdentifies(500, 9e9, 9e9), 0, 7.0, wall=5000.0)
    assert budget.reserve(0, 7.0, None) == 7.0 + P
    budget.check(7.0 + IDENTIFY_RESET, 998)  # a new day
