"""Secrets in text that a server sent back."""

import base64

import pytest

from onesocket.wire._handshake import DialRequest

BASIC = "Basic " + base64.b64encode(b"alice:pa55word").decode()


@pytest.mark.parametrize(
    ("request_", "text", "shown"),
    [
        (DialRequest("ws://h/", (("host", "example.org"), ("X", "s3cret"))), "s3cret example.org", "*** example.org"),
        (DialRequest("ws://h/", secrets=("s3cret/+",)), "s3cret/+ s3cret%2F%2B", "*** ***"),
        (DialRequest("ws://h/?key=s3cret+1&flag"), "s3cret 1, s3cret+1, s3cret%201", "***, ***, ***"),
        (DialRequest("ws://h/", (("Authorization", "Bearer s3cret"),)), "Bearer s3cret; s3cret", "***; ***"),
        (DialRequest("ws://h/", (("Authorization", BASIC),)), "alice, pa55word", "***, ***"),
        (DialRequest("ws://h/", (("Authorization", "Basic ?"),), secrets=("e", "four")), "see four", "see four"),
    ],
)
def test_every_form_of_a_secret_is_masked_but_not_single_letters(request_: DialRequest, text: str, shown: str) -> None:
    assert request_.scrub(text) == shown
