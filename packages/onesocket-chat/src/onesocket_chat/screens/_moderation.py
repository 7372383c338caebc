"""The menu of actions about another user, with a question before those that others notice; the list of bans."""

from __future__ import annotations

from typing import Final

from textual.dom import DOMNode

from onesocket.notices import NoticeLevel

from ..model._chat_state import ChatState
from ..model._models import Ban, Message, User
from ..model._permissions import Permission, may, may_to
from ..model._safe_text import one_line
from ..session._session import ChatSession
from ._dialogs import ConfirmDialog, PromptDialog, app_of, ask_dialog
from ._menu import MenuScreen

_MAX_REASON: Final = 512
_SHOWN_SECONDS: Final = 6.0


def possible_actions(state: ChatState, user: User, guild_id: int | None, message: Message | None) -> dict[str, str]:
    """The actions about a user, or the author of `message`, that the signed-in one may take: names with texts."""
    if state.me is None or user.id == state.me.id:
        return {}
    actions = {"report": "Report"} if message is not None else {}
    actions |= {"unblock": "Unblock"} if user.id in state.blocked else {"block": "Block"}
    is_member = user.id in state.members.get(guild_id or 0, frozenset())
    if is_member and may_to(state, guild_id, Permission.KICK, user.id):
        actions["kick"] = "Remove"
    if may_to(state, guild_id, Permission.BAN, user.id):
        actions["ban"] = "Ban"
    return actions


async def show_actions(
    node: DOMNode, session: ChatSession, user: User, guild_id: int | None, message: Message | None = None
) -> None:
    """Ask what to do about a user, or the author of `message`, and do it; the bell if nothing can be done."""
    state = session.store.state
    actions = possible_actions(state, user, guild_id, message)
    if not actions:
        app_of(node).bell()
        return
    name = _name_of(user)
    guild = state.guilds.get(guild_id or 0)
    place = one_line(guild.name, 40) if guild is not None else ""
    match await ask_dialog(node, MenuScreen(f"More about {name}", actions)):
        case "report" if message is not None:
            await _report(node, session, message)
        case "unblock":
            await session.moderation.unblock(user.id)
        case "block" if await _agrees(
            node, f"Block {name}? You no longer write to each other, and their messages are hidden here."
        ):
            await session.moderation.block(user.id)
        case "kick" if guild is not None and await _agrees(
            node, f"Remove {name} from {place}? They can come back with an invite."
        ):
            await session.moderation.kick(guild.id, user.id)
        case "ban" if guild is not None and await _agrees(
            node, f"Ban {name} from {place}? They can't come back, and what they wrote in the last day is deleted."
        ):
            await session.moderation.ban(guild.id, user.id)
        case _:
            pass


async def show_bans(node: DOMNode, session: ChatSession, guild_id: int | None) -> None:
    """Show who is banned from a guild, and lift the ban that is chosen; the bell without the permission."""
    guild = session.store.state.guilds.get(guild_id or 0)
    if guild is None or not may(session.store.state, guild.id, Permission.BAN):
        app_of(node).bell()
        return
    bans = await session.moderation.bans(guild.id)
    if bans is None:
        return
    place = one_line(guild.name, 40)
    if not bans:
        _say(node, session, "bans", "Bans", f"Nobody is banned from {place}.")
        return
    rows = {str(one.user.id): _row_of(one) for one in bans}
    chosen = await ask_dialog(node, MenuScreen(f"Banned people of {place}: lift the ban of", rows))
    if chosen is not None and await session.moderation.lift_ban(guild.id, int(chosen)):
        name = next(_name_of(one.user) for one in bans if str(one.user.id) == chosen)
        _say(node, session, "bans", "Ban Lifted", f"{name} can come back with an invite.")


def _row_of(ban: Ban) -> str:
    return f"{_name_of(ban.user)}: {one_line(ban.reason or '', _MAX_REASON) or 'no reason was given'}"


def _name_of(user: User) -> str:
    return one_line(user.username, 32) or "somebody"


def _say(node: DOMNode, session: ChatSession, notice_id: str, title: str, text: str) -> None:
    session.notices.post(notice_id, NoticeLevel.INFO, title, text)
    app_of(node).set_timer(_SHOWN_SECONDS, lambda: session.notices.withdraw(notice_id))


async def _agrees(node: DOMNode, question: str) -> bool:
    return await ask_dialog(node, ConfirmDialog(question)) is True


async def _report(node: DOMNode, session: ChatSession, message: Message) -> None:
    hint = "Whoever runs this chat sees the message as it is now, and your name."
    question = "Report this message? What is wrong with it?"
    reason = await ask_dialog(node, PromptDialog(question, hint=hint, most=_MAX_REASON))
    if reason and await session.moderation.report(message, reason):
        _say(node, session, "reported", "Reported", "Whoever runs this chat will see it.")
