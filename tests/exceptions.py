"""Exceptions that tests raise in user code."""


class CustomBaseException(BaseException):
    """Neither an `Exception` nor the end of the program, like `pytest.fail` and the time-outs of some libraries."""
