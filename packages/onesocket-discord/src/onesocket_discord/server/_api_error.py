"""Errors of the service, with Discord's HTTP status, error code and text."""

from __future__ import annotations

from collections.abc import Iterator

from onesocket.errors import OnesocketError

from ._ports import Json


class ApiError(OnesocketError):
    """The service refuses a request; `status` and `code` are Discord's, `errors` names the fields at fault."""

    def __init__(self, status: int, code: int, text: str, *, errors: Json | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
        self.errors = errors
        self.retryable = status in {429, 503}

    def __str__(self) -> str:
        """Return what is wrong with each field, or the text: for the terminal and logs."""
        return "; ".join(_field_texts(self.errors or {})) or self.text

    @property
    def body(self) -> Json:
        """The error body in Discord's form."""
        body: Json = {"message": self.text, "code": self.code}
        if self.errors is not None:
            body["errors"] = self.errors
        return body


def _field_texts(errors: Json, path: str = "") -> Iterator[str]:
    for name, inner in errors.items():
        if name == "_errors":
            yield from (f"{path}: {one['message']}" if path else one["message"] for one in inner)
        else:
            yield from _field_texts(inner, f"{path}.{name}" if path else name)


def unauthorized() -> ApiError:
    """The token is missing or invalid."""
    return ApiError(401, 0, "401: Unauthorized")


def unknown_resource(what: str) -> ApiError:
    """The resource does not exist; `what` is its kind in Discord's words, as in ``Channel``."""
    return ApiError(404, _UNKNOWN_CODES[what], f"Unknown {what}")


def missing_access() -> ApiError:
    """The account may not see the resource."""
    return ApiError(403, 50001, "Missing Access")


def missing_permissions() -> ApiError:
    """The account may see the resource, but not do this to it."""
    return ApiError(403, 50013, "Missing Permissions")


def invalid_form(errors: Json) -> ApiError:
    """Fields of the body are invalid; `errors` is nested as at Discord."""
    return ApiError(400, 50035, "Invalid Form Body", errors=errors)


def invalid_field(field: str, code: str, text: str) -> ApiError:
    """One field of the body is invalid."""
    return invalid_form({field: field_error(code, text)})


def field_error(code: str, text: str) -> Json:
    """The error object of one field."""
    return {"_errors": [{"code": code, "message": text}]}


_UNKNOWN_CODES = {
    "Application": 10002,
    "Channel": 10003,
    "Guild": 10004,
    "Invite": 10006,
    "Member": 10007,
    "Message": 10008,
    "Role": 10011,
    "User": 10013,
    "Emoji": 10014,
    "Ban": 10026,
    "application command": 10063,
}
