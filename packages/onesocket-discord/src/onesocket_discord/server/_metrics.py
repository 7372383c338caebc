"""The metrics of the server, for Prometheus: no address, no name, no id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from onesocket.hub._endpoint import Endpoint
from onesocket.hub._hub_listener import HubListener
from onesocket.instruments._text_format import CONTENT_TYPE, metric_lines, sample_lines
from onesocket.transports._connection_acceptor import RequestAnswer
from onesocket.wire._http_response import HttpResponse
from onesocket.wire._request_parser import HttpRequest

from ._requests import RequestRecord
from .gateway import Stats
from .rest import is_address

_BOUNDS: Final = (0.005, 0.025, 0.1, 0.5, 2.5)
"""Seconds: an answer from memory, one commit, a slow one, a hash of a password, trouble."""
_COUNTERS: Final = {
    "handshakes": "Requests for an upgrade, answered in any way.",
    "refused": "Requests for an upgrade that were refused.",
    "identifies": "Sessions that began.",
    "resumes": "Sessions that were resumed.",
    "invalid_sessions": "Invalid sessions that clients were told of (op 9).",
    "heartbeats": "Heartbeats of clients.",
    "events": "Events that were published, each counted once.",
    "dropped": "Connections aborted because their client didn't read.",
}
_GAUGES: Final = {"open": "Open connections to the gateway.", "sessions": "Sessions, those to be resumed included."}


class RequestCounters:
    """Requests by method, route and status, and how long they took; an observer of requests."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        """Bounded: routes are the server's, and so are the statuses."""
        self._buckets = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0

    def __repr__(self) -> str:
        return f"<RequestCounters {sum(self._requests.values())}>"

    def __call__(self, record: RequestRecord) -> None:
        """Count a request."""
        self._requests[record.method, record.route, record.status] += 1
        place = next((n for n, bound in enumerate(_BOUNDS) if record.seconds <= bound), len(_BOUNDS))
        self._buckets[place] += 1
        self._seconds += record.seconds

    def lines(self) -> Iterable[str]:
        """Yield the metrics as text."""
        requests = sorted(self._requests.items())
        yield from metric_lines(
            "counter",
            "onesocket_chat_http_requests_total",
            "Requests that were answered, those for an upgrade included.",
            (
                ((("method", method), ("route", route), ("status", status)), count)
                for (method, route, status), count in requests
            ),
        )
        name = "onesocket_chat_http_request_duration_seconds"
        yield from metric_lines("histogram", name, "Time from a request's head to its answer's last byte.", ())
        total = 0
        for bound, count in zip((*map(str, _BOUNDS), "+Inf"), self._buckets, strict=True):
            total += count
            yield from sample_lines(f"{name}_bucket", [((("le", bound),), total)])
        yield from sample_lines(f"{name}_sum", [((), round(self._seconds, 6))])
        yield from sample_lines(f"{name}_count", [((), total)])


class MetricsEndpoint:
    """Answers ``GET /metrics`` at an address of its own, which isn't there unless it is asked for."""

    def __init__(self, address: Endpoint, stats: Callable[[], Stats], http_connections: Callable[[], int]) -> None:
        self.requests = RequestCounters()
        self._address = address
        self._stats = stats
        self._http_connections = http_connections
        self._listener = HubListener(self._respond)

    def __repr__(self) -> str:
        return f"<MetricsEndpoint {self._listener.endpoint}>"

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT/metrics``."""
        return f"http://{self._listener.endpoint}/metrics"

    async def start(self) -> None:
        """Listen. Raises `CannotListen`."""
        await self._listener.bind(self._address, "--metrics")
        await self._listener.serve()

    def stop(self) -> None:
        """End at once."""
        self._listener.stop()
        self._listener.abort()

    def text(self) -> str:
        """Every metric, with help and type."""
        lines = list(self.requests.lines())
        stats = self._stats()
        for field, help_text in _COUNTERS.items():
            name = f"onesocket_chat_gateway_{field}_total"
            lines += metric_lines("counter", name, help_text, [((), getattr(stats, field))])
        for field, help_text in _GAUGES.items():
            lines += metric_lines("gauge", f"onesocket_chat_gateway_{field}", help_text, [((), getattr(stats, field))])
        help_text = "Open connections to the HTTP API and the page."
        lines += metric_lines("gauge", "onesocket_chat_http_open", help_text, [((), self._http_connections())])
        return "\n".join(lines) + "\n"

    def _respond(self, request: HttpRequest) -> RequestAnswer:
        # A page in a browser on this machine could ask, also by a name that leads here.
        is_foreign = self._address.is_private and not is_address(request.headers.get("Host", ""))
        if "Origin" in request.headers or is_foreign:
            return HttpResponse.text(403, "metrics are not for web pages, and on this machine asked for by address")
        if request.path != "/metrics":
            return HttpResponse.text(404, "here is only /metrics")
        return HttpResponse(200, self.text().encode(), {"Content-Type": CONTENT_TYPE})
