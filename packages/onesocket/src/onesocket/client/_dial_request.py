"""Makes the request of an attempt: asks for the URL, and puts it and the token where they belong."""

from __future__ import annotations

from ..errors import URLFailed
from ..urls import CLIENT_SCHEMES, Address, parse_url
from ..wire._handshake import DialRequest
from ._options import Options
from ._user_code import call_user_function


async def ask_for_address(options: Options) -> Address:
    """The address of one attempt. Raises `URLFailed`, `InvalidURL` or `InvalidOption`."""
    if options.url_source is None:
        if options.address is None:
            raise RuntimeError("these options have no address")
        return options.address
    url = await call_user_function(options.url_source, "the function that gives the URL", URLFailed)
    return options.check_address(parse_url(url, schemes=CLIENT_SCHEMES))  # type: ignore[arg-type] # it checks the type


def make_dial_request(options: Options, address: Address, token: str | None) -> DialRequest:
    """The upgrade request for these options and this address, with the token."""
    headers = options.headers
    basic = address.authorization
    if basic is not None and not any(name.lower() == "authorization" for name, _ in headers):
        headers = (*headers, ("Authorization", basic))
    request = DialRequest(
        url=address.url,
        headers=headers,
        subprotocols=options.subprotocols or options.protocol.subprotocols,
        ssl=options.ssl,
        proxy=options.proxy,
        server_hostname=options.server_hostname,
        local_address=options.local_address,
        max_size=options.max_size,
        close_timeout=options.close_timeout,
        byte_counts=options.byte_counts,
        secrets=() if token is None else (token,),
    )
    return options.protocol.prepare(request, token)
