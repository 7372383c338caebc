"""One guild: its GUILD_CREATE with the changes of later dispatches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from .._serving import EncodedDispatch
from ..protocol._intents import Intents
from ..protocol.models import JsonObject

_ITEM_KEYS: Final = {
    "roles": "id",
    "channels": "id",
    "threads": "id",
    "stage_instances": "id",
    "guild_scheduled_events": "id",
    "members": "user",
    "presences": "user",
    "voice_states": "user_id",
}
"""Lists in GUILD_CREATE that are changed item by item, and the member that tells their items apart."""
UPSERT_EVENTS: Final = {
    "CHANNEL_CREATE": "channels",
    "CHANNEL_UPDATE": "channels",
    "THREAD_CREATE": "threads",
    "STAGE_INSTANCE_CREATE": "stage_instances",
    "STAGE_INSTANCE_UPDATE": "stage_instances",
    "GUILD_SCHEDULED_EVENT_CREATE": "guild_scheduled_events",
    "GUILD_SCHEDULED_EVENT_UPDATE": "guild_scheduled_events",
}
"""Events whose body is an item of that list."""
REMOVE_EVENTS: Final = {
    "THREAD_DELETE": "threads",
    "STAGE_INSTANCE_DELETE": "stage_instances",
    "GUILD_SCHEDULED_EVENT_DELETE": "guild_scheduled_events",
}
_MAX_MEMBERS: Final = 250_000
_BODY_INTENTS: Final = int(Intents.GUILD_PRESENCES | Intents.GUILD_VOICE_STATES)


class CachedGuild:
    """Encodes the guild for a set of intents on demand, and keeps the result until the guild changes."""

    def __init__(self, data: JsonObject) -> None:
        self._rest = {name: value for name, value in data.items() if name not in _ITEM_KEYS}
        self._lists: dict[str, dict[str, JsonObject]] = {
            name: {_id_of(item, key): item for item in data.get(name) or ()} for name, key in _ITEM_KEYS.items()
        }
        self._bodies: dict[int, EncodedDispatch] = {}

    def __repr__(self) -> str:
        return f"<CachedGuild members={len(self._lists['members'])} channels={len(self._lists['channels'])}>"

    def body(self, intents: int) -> EncodedDispatch:
        """GUILD_CREATE for a client with these intents."""
        seen = intents & _BODY_INTENTS
        body = self._bodies.get(seen)
        if body is None:
            lists = {name: list(items.values()) for name, items in self._lists.items()}
            if not seen & Intents.GUILD_PRESENCES:
                lists["presences"] = []
            if not seen & Intents.GUILD_VOICE_STATES:
                lists["voice_states"] = []
            body = self._bodies[seen] = EncodedDispatch("GUILD_CREATE", {**self._rest, **lists, "unavailable": False})
        return body

    def apply(self, event: str, data: JsonObject) -> None:
        """Apply a dispatch about this guild."""
        change = self.HANDLERS.get(event)
        if change is not None:
            change(self, data)
        elif event in UPSERT_EVENTS:
            items = self._lists[UPSERT_EVENTS[event]]
            items[str(data["id"])] = {**items.get(str(data["id"]), {}), **data}
        elif event in REMOVE_EVENTS:
            self._lists[REMOVE_EVENTS[event]].pop(str(data["id"]), None)
        else:
            return
        self._bodies.clear()

    # --- changes ----------------------------------------------------------------------------------------------------

    def _updated(self, data: JsonObject) -> None:
        roles = data.get("roles")
        if roles is not None:
            self._lists["roles"] = {str(role["id"]): role for role in roles}
        self._rest.update({name: value for name, value in data.items() if name not in _ITEM_KEYS})

    def _replaced(self, data: JsonObject) -> None:
        self._rest.update({name: data[name] for name in ("emojis", "stickers") if name in data})

    def _on_member_add(self, data: JsonObject) -> None:
        if len(self._lists["members"]) < _MAX_MEMBERS:
            self._lists["members"][_id_of(data, "user")] = _without_guild(data)
        self._adjust_member_count(1)

    def _on_member_update(self, data: JsonObject) -> None:
        # An unknown member stays unknown, as at Discord itself.
        member = self._lists["members"].get(_id_of(data, "user"))
        if member is not None:
            member.update(_without_guild(data))

    def _on_member_remove(self, data: JsonObject) -> None:
        for name in ("members", "presences"):
            self._lists[name].pop(_id_of(data, "user"), None)
        self._adjust_member_count(-1)

    def _adjust_member_count(self, by: int) -> None:
        if isinstance(self._rest.get("member_count"), int):
            self._rest["member_count"] += by

    def _on_role_upsert(self, data: JsonObject) -> None:
        self._lists["roles"][str(data["role"]["id"])] = data["role"]

    def _on_role_delete(self, data: JsonObject) -> None:
        role = str(data["role_id"])
        self._lists["roles"].pop(role, None)
        for member in self._lists["members"].values():
            if role in member.get("roles", ()):
                member["roles"] = [name for name in member["roles"] if str(name) != role]

    def _on_presence_update(self, data: JsonObject) -> None:
        user = _id_of(data, "user")
        self._lists["presences"].pop(user, None)
        if data.get("status") != "offline" and len(self._lists["presences"]) < _MAX_MEMBERS:
            self._lists["presences"][user] = _without_guild(data)

    def _on_voice_state_update(self, data: JsonObject) -> None:
        user = str(data["user_id"])
        self._lists["voice_states"].pop(user, None)
        if data.get("channel_id") is not None:
            self._lists["voice_states"][user] = _without_guild(data)

    def _on_channel_delete(self, data: JsonObject) -> None:
        channel = str(data["id"])
        self._lists["channels"].pop(channel, None)
        threads = self._lists["threads"]
        self._lists["threads"] = {name: one for name, one in threads.items() if str(one.get("parent_id")) != channel}

    def _on_thread_list_sync(self, data: JsonObject) -> None:
        parents = data.get("channel_ids")
        listed = {str(thread["id"]): thread for thread in data.get("threads") or ()}
        others = {
            name: one
            for name, one in self._lists["threads"].items()
            if parents is not None and str(one.get("parent_id")) not in {str(parent) for parent in parents}
        }
        self._lists["threads"] = {**others, **listed}

    def _on_thread_update(self, data: JsonObject) -> None:
        metadata: JsonObject = data.get("thread_metadata") or {}
        if metadata.get("archived"):
            self._lists["threads"].pop(str(data["id"]), None)
        else:
            self._lists["threads"][str(data["id"])] = {**self._lists["threads"].get(str(data["id"]), {}), **data}

    HANDLERS: ClassVar[Mapping[str, Callable[[Any, JsonObject], None]]] = {
        "GUILD_UPDATE": _updated,
        "GUILD_EMOJIS_UPDATE": _replaced,
        "GUILD_STICKERS_UPDATE": _replaced,
        "GUILD_MEMBER_ADD": _on_member_add,
        "GUILD_MEMBER_UPDATE": _on_member_update,
        "GUILD_MEMBER_REMOVE": _on_member_remove,
        "GUILD_ROLE_CREATE": _on_role_upsert,
        "GUILD_ROLE_UPDATE": _on_role_upsert,
        "GUILD_ROLE_DELETE": _on_role_delete,
        "PRESENCE_UPDATE": _on_presence_update,
        "VOICE_STATE_UPDATE": _on_voice_state_update,
        "CHANNEL_DELETE": _on_channel_delete,
        "THREAD_UPDATE": _on_thread_update,
        "THREAD_LIST_SYNC": _on_thread_list_sync,
    }
    """Events that do more than put one item into its list or remove it."""


def _id_of(item: JsonObject, key: str) -> str:
    value: Any = item[key]
    return str(value["id"] if key == "user" else value)


def _without_guild(data: JsonObject) -> JsonObject:
    return {name: value for name, value in data.items() if name != "guild_id"}
