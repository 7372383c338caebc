"""Texts for people of what a server says to a sign-in or a registration."""

from __future__ import annotations

import re
from typing import Final

from onesocket import OnesocketError
from onesocket_discord.rest import BadAnswer, NotFound, RateLimited, RestError, ServerTrouble

from ._request_texts import request_error_text

_SENTENCES: Final = {
    "INVALID_LOGIN": "The name or the password is wrong.",
    "USERNAME_ALREADY_TAKEN": "This name is taken. Choose another one.",
    "USERNAME_LOOKS_TAKEN": "This name looks like that of somebody else. Choose another one.",
    "USERNAME_RESERVED": "This name is reserved. Choose another one.",
    "USERNAME_MIXED_SCRIPTS": "A name may not mix letters of several alphabets.",
    "USERNAME_INVALID": "A name may not contain @ # : ` or begin or end with a space.",
    "PASSWORD_TOO_COMMON": "This password is one of those that are guessed first. Choose another one.",
    "PASSWORD_IS_NAME": "The password is little more than the name. Choose another one.",
    "INVITE_REQUIRED": "This server takes new accounts by invite only. Paste the code of yours into the field Invite.",
    "INVITE_INVALID": "This invite is not valid, or has expired. Ask for another one.",
}
_CLOSED: Final = 40006
_PROBLEM: Final = re.compile(r"(?P<field>\w+): (?P<text>.*?)(?: \((?P<code>\w+)\))?")


def sign_in_error_text(error: OnesocketError) -> str:
    """The error in a sentence, without the API's words for it."""
    if not isinstance(error, RestError) or isinstance(error, RateLimited | ServerTrouble):
        return request_error_text(error)
    if isinstance(error, NotFound | BadAnswer):
        return "There is no chat server at this address: check it."
    if error.code == _CLOSED:
        return "This server takes no new accounts. Ask its owner for one."
    found = _PROBLEM.fullmatch(error.problems[0]) if error.problems else None
    if found is None:
        return f"The server refused it (HTTP {error.status})."
    if found["code"] in _SENTENCES:
        return _SENTENCES[found["code"]]
    return f"{'The password' if 'password' in found['field'] else 'The name'}: {found['text']}"


def needs_invite(error: OnesocketError) -> bool:
    """Return True if the server asks for an invite, or for another one."""
    return isinstance(error, RestError) and any(one.startswith("invite:") for one in error.problems)
