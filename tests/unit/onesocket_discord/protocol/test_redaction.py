"""Payloads of a gateway in a recording."""

from onesocket.protocols._protocol import Protocol, implements
from onesocket_discord import Intents
from onesocket_discord.protocol._gateway import DiscordGateway
from onesocket_discord.protocol._identification import Identification
from onesocket_discord.protocol._redaction import redact_payload


def test_tokens_and_session_ids_are_masked_and_the_rest_stays() -> None:
    text = '{"op":2,"d":{"token":"Bot a\\"b","session_id": "s1","properties":{"os":"x"},"tokens":"kept"}}'
    shown = '{"op":2,"d":{"token":"***","session_id": "***","properties":{"os":"x"},"tokens":"kept"}}'
    assert redact_payload(text) == shown


def test_what_is_compressed_is_left_out() -> None:
    assert redact_payload(b"\x78\x9c") is None


def test_the_gateway_redacts() -> None:
    gateway = DiscordGateway(Identification(intents=Intents.UNPRIVILEGED))
    assert implements(gateway, Protocol.redact)
    assert gateway.redact('{"token":"x"}', outgoing=True) == '{"token":"***"}'
