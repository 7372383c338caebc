"""Secrets in text that a server sent back."""

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest

from onesocket.wire._handshake import DialRequest
from onesocket.wire._secrets import Secrets

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
        (DialRequest("ws://h/?0123456789abcdef&flags"), "0123456789abcdef flags", "*** flags"),
        (DialRequest("ws://h/", (("Cookie", "sid=0123456789/abcd==; b=on"),)), "0123456789/abcd== on", "*** on"),
        (DialRequest("ws://h/", (("X", 'id="0123456789abcdef", q=1'),)), "0123456789abcdef", "***"),
    ],
)
def test_every_form_of_a_secret_is_masked_but_not_single_letters(request_: DialRequest, text: str, shown: str) -> None:
    assert request_.scrub(text) == shown


SECRET = 'a/b+c=="<ü>&d\\e'


def escaped(characters: str) -> str:
    return "".join(f"\\u{ord(one):04x}" if one in characters else one for one in SECRET)


FORMS = [
    SECRET,
    json.dumps(SECRET)[1:-1],
    json.dumps(SECRET, ensure_ascii=False)[1:-1],
    json.dumps(SECRET)[1:-1].replace("/", "\\/"),
    json.dumps(json.dumps(SECRET)[1:-1])[1:-1],
    escaped('<>&="\\'),
    escaped(SECRET),
    escaped(SECRET).replace("00", "00").upper().replace("U", "u"),
    quote(SECRET),
    quote(SECRET, safe=""),
    quote(SECRET, safe="/+="),
    quote_plus(SECRET),
    re.sub("%..", lambda found: found[0].lower(), quote(SECRET)),
    quote(quote(SECRET)),
    html.escape(SECRET),
]


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_however_its_characters_are_escaped(form: str) -> None:
    secrets = Secrets([SECRET, "others"])
    assert secrets.mask(f"\\ {form}%{form}, others &amp; %zz \\u12 +") == "\\ ***%***, *** &amp; %zz \\u12 +"
    assert secrets.are_in(b"\xff" + form.encode() + b"\xff")


@pytest.mark.parametrize(
    "text", ["", "a/b", "%61%2F", "\\u0061", "&lt;&gt;", "a/b+c== <ü>", "\ud800", SECRET[1:], "%", "\\"]
)
def test_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert Secrets([SECRET]).mask(text) == text
    assert Secrets([]).mask(text) == text
    assert not Secrets([SECRET]).are_in(text.encode(errors="surrogatepass"))


def test_a_secret_that_looks_escaped_is_found_as_well() -> None:
    secrets = Secrets(["50%25 off", "\\u0041bcdef"])
    assert secrets.mask("50%25 off, 50%2525 off, \\u0041bcdef") == "***, ***, ***"


def test_the_longest_secret_is_masked_first() -> None:
    assert Secrets(["secret", "a secret/x"]).mask("a secret/x, a%20secret%2Fx, secret") == "***, ***, ***"
