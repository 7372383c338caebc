"""The steps of a message at which the program is killed."""

from __future__ import annotations

import enum


class Step(enum.StrEnum):
    """A step; those of the program are reached in its process, the others at the server."""

    OPENING = "before the file is made or read"
    BEFORE_INSERT = "before a message is inserted"
    BEFORE_COMMIT = "after the insertion, before its commit"
    AFTER_COMMIT = "after the commit, before the program knows"
    BEFORE_MARK = "before the file says that messages may have been sent"
    AFTER_MARK = "after the file says so, before they are"
    BEFORE_WRITE = "before a message is written to the socket"
    AFTER_WRITE = "after a message was written to the socket"
    SERVER_LOSES_IT = "a moment after the server began to lose messages that it has not processed"
    SERVER_HAS_IT = "after the server has a message, before its acknowledgement"
    SERVER_ACKNOWLEDGED = "after the server has acknowledged a message"
    ACKNOWLEDGEMENT_CAME = "after the acknowledgement came, before the message is settled"
    BEFORE_DELETE = "before a settled message is deleted"
    BEFORE_DELETE_COMMIT = "after the deletion, before its commit"
    AFTER_DELETE = "after the deletion was committed"
    CLOSING = "before the file is closed"
    CLOSED = "after the file was closed"


SERVER_STEPS = (Step.SERVER_LOSES_IT, Step.SERVER_HAS_IT, Step.SERVER_ACKNOWLEDGED)
NEED_ACKNOWLEDGEMENTS = (Step.SERVER_LOSES_IT, Step.SERVER_ACKNOWLEDGED, Step.ACKNOWLEDGEMENT_CAME)
FOR_EACH_MESSAGE = (Step.BEFORE_WRITE, Step.AFTER_WRITE, *SERVER_STEPS)
"""Steps that each message comes to; others are for all that are stored or settled together."""
