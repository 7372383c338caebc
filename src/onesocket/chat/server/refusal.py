"""What the service refuses, with Discord's HTTP status, error code and words."""

from __future__ import annotations

from ...errors import OnesocketError
from .ports import Json


class Refused(OnesocketError):
    """The request can't be granted; `status` and `code` are Discord's, `errors` names the fields at fault."""

    def __init__(self, status: int, code: int, text: str, *, errors: Json | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
        self.errors = errors
        self.retryable = status in {429, 503}

    @property
    def body(self) -> Json:
        """The error body as Discord writes it."""
        body: Json = {"message": self.text, "code": self.code}
        if self.errors is not None:
            body["errors"] = self.errors
        return body


def unauthorized() -> Refused:
    """Say that the token is missing or nobody's."""
    return Refused(401, 0, "401: Unauthorized")


def unknown(what: str) -> Refused:
    """Say that there is no such thing; `what` is Discord's word for it, as in ``Channel``."""
    return Refused(404, _UNKNOWN[what], f"Unknown {what}")


def missing_access() -> Refused:
    """It exists, but not for you."""
    return Refused(403, 50001, "Missing Access")


def missing_permissions() -> Refused:
    """You see it, but may not do this to it."""
    return Refused(403, 50013, "Missing Permissions")


def invalid_form(errors: Json) -> Refused:
    """Say which fields are wrong; `errors` is nested as Discord nests it."""
    return Refused(400, 50035, "Invalid Form Body", errors=errors)


def invalid_field(field: str, code: str, text: str) -> Refused:
    """One field is wrong."""
    return invalid_form({field: fault(code, text)})


def fault(code: str, text: str) -> Json:
    """Describe what is wrong with one field."""
    return {"_errors": [{"code": code, "message": text}]}


_UNKNOWN = {
    "Application": 10002,
    "Channel": 10003,
    "Guild": 10004,
    "Invite": 10006,
    "Member": 10007,
    "Message": 10008,
    "User": 10013,
    "Emoji": 10014,
    "application command": 10063,
}
