"""Errors of the library in the words of a command: its options instead of the arguments of a function."""

from __future__ import annotations

import re
from typing import Final

# Phrases first: an argument may mean several options.
_PHRASES: Final = {
    "join(..., scope='host')": "--scope host",
    "ssl= (SSLContext.load_cert_chain)": "--client-cert",
    "that ssl= has loaded": "of --client-cert",
    "that ssl= allows": "of this command",
    "ssl= was given": "--cacert or --client-cert was given",
    "token_place=": "--token-query",
}
_FLAGS: Final = {
    "headers": "--header",
    "key": "--key",
    "local_address": "--local-address",
    "max_size": "--max-size",
    "open_timeout": "--open-timeout",
    "pace": "--pace",
    "proxy": "--proxy",
    "server_hostname": "--server-hostname",
    "silence_timeout": "--silence-timeout",
    "ssl": "--cacert",
    "subprotocols": "--subprotocol",
    "token": "--token",
}
# A name with the sign of an argument, which stays before a value; one of two words also without it. What is within a
# word, such as the parameters of a URL, isn't meant.
_NAMES: Final = "|".join(_FLAGS)
_TWO_WORDS: Final = "|".join(name for name in _FLAGS if "_" in name)
_ARGUMENT: Final = re.compile(
    rf"(?<![^\s(])(?:(?P<sign>{_NAMES})(?:=(?=:?(?:\s|$)|[;,.)])|(?==))|(?P<name>{_TWO_WORDS})\b)"
)


def with_option_names(text: str) -> str:
    """Return the text of an error with the options of the commands in the place of arguments (`max_size=`)."""
    for phrase, words in _PHRASES.items():
        text = text.replace(phrase, words)
    return _ARGUMENT.sub(lambda match: _FLAGS[match["sign"] or match["name"]], text)
