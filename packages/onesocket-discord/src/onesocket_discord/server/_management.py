"""Operations of the server's owner, beside those of its users: for the control endpoint, and without a server."""

from __future__ import annotations

from typing import Any

from onesocket.errors import OnesocketError

from ..protocol._intents import Intents
from ._field_reader import FieldReader
from ._ports import Json
from .service import ChatService

_MAX_AGE = 365 * 86_400
_MAX_USES = 1000


async def manage_service(service: ChatService, what: str, body: Json) -> Json:
    """Perform an operation, such as ``users/list``, and return its result. Raises `OnesocketError`."""
    group, _, operation = what.partition("/")
    match group:
        case "users":
            return await _manage_users(service, operation, body)
        case "bots":
            return await _manage_bots(service, operation or "add", body)
        case "reports":
            return await _manage_reports(service, operation, body)
        case "invites" if operation == "add":
            fields = FieldReader(body)
            max_age = fields.integer("max_age", least=0, most=_MAX_AGE) or 0
            max_uses = fields.integer("max_uses", least=0, most=_MAX_USES) or 0
            fields.check()
            made = await service.invites.create_for_server(service.default_guild, max_age=max_age, max_uses=max_uses)
            return {"code": made["code"]}
        case _:
            raise UnknownOperation(what)


async def _manage_users(service: ChatService, operation: str, body: Json) -> Json:
    accounts, name = service.accounts, _name(body)
    match operation:
        case "list":
            return {"users": await accounts.list_accounts()}
        case "add":
            added = await accounts.add_person(name, str(body.get("password", "")), signs_in=False)
            return {"user_id": added["user_id"]}
        case "passwd":
            await accounts.set_password(name, str(body.get("password", "")))
        case "promote" | "demote":
            user_id, is_one = await accounts.user_id_of(name), operation == "promote"
            guild = service.default_guild
            return {"added_permissions": await service.roles.set_moderator(guild, user_id, is_one=is_one)}
        case "ban" | "unban":
            await accounts.set_banned(name, banned=operation == "ban")
        case "remove":
            await accounts.remove(name)
        case _:
            raise UnknownOperation(f"users/{operation}")
    return {}


async def _manage_bots(service: ChatService, operation: str, body: Json) -> Json:
    accounts, name = service.accounts, _name(body)
    match operation:
        case "add":
            settings = await _bot_settings(service, body)
            token, _ = await accounts.create_bot(name, **settings)
        case "edit":
            await service.bots.edit(name, **await _bot_settings(service, body))
            return {}
        case "renew":
            token, _ = await accounts.renew_bot_token(name)
        case "remove":
            await accounts.remove(name, only_bot=True)
            return {}
        case _:
            raise UnknownOperation(f"bots/{operation}")
    return {"token": token}


async def _bot_settings(service: ChatService, body: Json) -> dict[str, Any]:
    """The settings of a bot that are given: ``owner`` (a name), ``public``, ``denied_intents``."""
    fields = FieldReader(body)
    settings: dict[str, Any] = {
        "owner": fields.text("owner", most=32),
        "public": fields.flag("public") if "public" in fields else None,
        "denied_intents": fields.integer("denied_intents", least=0, most=int(Intents.PRIVILEGED)),
    }
    fields.check()
    given = {name: value for name, value in settings.items() if value is not None}
    if "owner" in given:
        given["owner"] = await service.accounts.person_id_of(given["owner"])
    return given


async def _manage_reports(service: ChatService, operation: str, body: Json) -> Json:
    match operation:
        case "list":
            return {"reports": await service.reports.list_open()}
        case "close":
            fields = FieldReader(body)
            report_id = fields.snowflake("id", required=True) or 0
            fields.check()
            await service.reports.close(report_id)
        case _:
            raise UnknownOperation(f"reports/{operation}")
    return {}


def _name(body: Json) -> str:
    return str(body.get("name", ""))


class UnknownOperation(OnesocketError):
    """The owner's operation does not exist."""

    def __init__(self, what: str) -> None:
        super().__init__(f"there is no {what}")
