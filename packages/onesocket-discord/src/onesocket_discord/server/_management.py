"""Operations of the server's owner, beside those of its users: for the control endpoint, and without a server."""

from __future__ import annotations

from onesocket.errors import OnesocketError

from ._field_reader import FieldReader
from ._ports import Json
from .service import ChatService

_MAX_AGE = 365 * 86_400
_MAX_USES = 1000


async def manage_service(service: ChatService, what: str, body: Json) -> Json:
    """Perform an operation, such as ``users/list``, and return its result. Raises `OnesocketError`."""
    accounts, name = service.accounts, str(body.get("name", ""))
    match what:
        case "users/list":
            return {"users": await accounts.list_accounts()}
        case "users/add":
            added = await accounts.add_person(name, str(body.get("password", "")), signs_in=False)
            return {"user_id": added["user_id"]}
        case "users/passwd":
            await accounts.set_password(name, str(body.get("password", "")))
        case "users/remove":
            await accounts.remove(name)
        case "users/ban" | "users/unban":
            await accounts.set_banned(name, banned=what == "users/ban")
        case "reports/list":
            return {"reports": await service.reports.list_open()}
        case "reports/close":
            fields = FieldReader(body)
            report_id = fields.snowflake("id", required=True) or 0
            fields.check()
            await service.reports.close(report_id)
        case "bots" | "bots/add":
            token, _ = await accounts.create_bot(name)
            return {"token": token}
        case "bots/renew":
            token, _ = await accounts.renew_bot_token(name)
            return {"token": token}
        case "bots/remove":
            await accounts.remove(name, only_bot=True)
        case "invites/add":
            fields = FieldReader(body)
            max_age = fields.integer("max_age", least=0, most=_MAX_AGE) or 0
            max_uses = fields.integer("max_uses", least=0, most=_MAX_USES) or 0
            fields.check()
            made = await service.invites.create_for_server(service.default_guild, max_age=max_age, max_uses=max_uses)
            return {"code": made["code"]}
        case _:
            raise UnknownOperation(f"there is no {what}")
    return {}


class UnknownOperation(OnesocketError):
    """The owner's operation does not exist."""
