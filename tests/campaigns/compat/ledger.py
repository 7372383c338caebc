"""Compares typed, shown, seen and stored messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

PAGE_SIZE: Final = 50
"""After a gap the chat shows the newest page, and what came since."""


@dataclass(frozen=True)
class StoredMessage:
    """A message in the server's history. The contents of a trial are all different."""

    message_id: int
    author: str
    content: str


@dataclass
class TrialLedger:
    """The messages of one trial, as recorded by its participants. Channels are named by their ids."""

    typed: dict[tuple[str, int], list[str]] = field(default_factory=dict[tuple[str, int], list[str]])
    """By person and channel, in this order."""
    acknowledged: set[str] = field(default_factory=set[str])
    """Contents of typed messages that are no longer shown as pending."""
    on_screen: set[tuple[int, int, str]] = field(default_factory=set[tuple[int, int, str]])
    """Channel, id and content of the messages shown as stored when the server was ended."""
    for_the_bot: set[str] = field(default_factory=set[str])
    """Contents of messages sent while the bot had a session and the server was not being ended."""

    def note(self, person: str, channel_id: int, content: str) -> None:
        """Record a typed message."""
        self.typed.setdefault((person, channel_id), []).append(content)


Histories = Mapping[int, Sequence[StoredMessage]]
"""The server's history by channel, the oldest message first."""
Screens = Mapping[tuple[str, int], Sequence[tuple[int, str]]]
"""By person and channel: id and content of what is shown as stored."""


def store_faults(ledger: TrialLedger, bot: str, sent: Iterable[str], histories: Histories) -> list[str]:
    """Messages missing, doubled or out of order in the server's history; `sent`: the bot's acknowledged answers."""
    found: list[str] = []
    for (person, channel_id), typed in ledger.typed.items():
        stored = [one.content for one in histories[channel_id] if one.author == person]
        if stored != typed:
            found.append(f"{person} in {channel_id}: {_difference(typed, stored)}")
    everything = [one for history in histories.values() for one in history]
    contents = [one.content for one in everything]
    found += [f"stored more than once: {content}" for content in _doubled(contents)]
    found += [f"acknowledged and lost: {content}" for content in sorted(ledger.acknowledged - set(contents))]
    there = {(key, one.message_id, one.content) for key, history in histories.items() for one in history}
    found += [f"shown as stored and lost: {content}" for _, _, content in sorted(ledger.on_screen - there)]
    answers = {one.content for one in everything if one.author == bot}
    found += [f"an answer of the bot acknowledged and lost: {content}" for content in sorted({*sent} - answers)]
    return found


def screen_faults(histories: Histories, screens: Screens) -> list[str]:
    """Panels that show anything else than the end of the server's history."""
    found: list[str] = []
    for (person, channel_id), shown in screens.items():
        stored = [(one.message_id, one.content) for one in histories[channel_id]]
        wanted = stored[-max(len(shown), min(PAGE_SIZE, len(stored))) :] if stored else []
        if list(shown) != wanted:
            found.append(f"{person}'s panel of {channel_id}: {_difference(_texts(wanted), _texts(shown))}")
    return found


def bot_faults(ledger: TrialLedger, seen: Sequence[str], histories: Histories) -> list[str]:
    """Messages that the bot saw twice, saw though they aren't stored, or missed though it had a session."""
    stored = {one.content for history in histories.values() for one in history}
    return [
        *(f"the bot saw twice: {content}" for content in _doubled(seen)),
        *(f"the bot saw what isn't stored: {content}" for content in sorted({*seen} - stored)),
        *(f"the bot missed: {content}" for content in sorted(ledger.for_the_bot - {*seen})),
    ]


def _texts(rows: Iterable[tuple[int, str]]) -> list[str]:
    return [content for _, content in rows]


def _doubled(contents: Iterable[str]) -> list[str]:
    return sorted(content for content, number in Counter(contents).items() if number > 1)


def _difference(wanted: Sequence[str], found: Sequence[str]) -> str:
    missing, more = Counter(wanted) - Counter(found), Counter(found) - Counter(wanted)
    if not missing and not more:
        return f"in another order: {list(found)} instead of {list(wanted)}"
    return f"missing {sorted(missing.elements())}, too many {sorted(more.elements())}"
