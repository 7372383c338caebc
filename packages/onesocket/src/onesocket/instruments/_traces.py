"""Spans for OpenTelemetry: of attempts, logins, connections and hand-overs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from ..client._instruments import Source, SourceKind, stats_of
from ..client._status import Change, Status
from ..errors import OnesocketError, OwnerLost, RetriesExhausted
from ..lifecycle._states import State
from ._metrics import ROLE
from ._sources import source_attributes

if TYPE_CHECKING:
    from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Tracer

_EPOCH: Final = "onesocket.connection.epoch"
_UNFINISHED_HAND_OVER: Final = frozenset({State.CONNECTING, State.BACKING_OFF})


class Traces:
    """The spans of all sources. Each source's are begun and ended on its own event loop."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._spans: dict[int, SourceSpans] = {}

    def __repr__(self) -> str:
        return f"<Traces sources={len(self._spans)}>"

    def add(self, source: Source, kind: SourceKind, name: str) -> None:
        """Trace a source, or note its new kind."""
        if kind is SourceKind.CONNECTION:
            self._spans[id(source)] = ConnectionSpans(self, self._tracer, name)
        elif kind is not SourceKind.READER:
            spans = self._spans.setdefault(id(source), HandOverSpans(self._tracer, name))
            if isinstance(spans, HandOverSpans):
                spans.role = "owner" if kind is SourceKind.PROCESS else "follower"

    def remove(self, source: Source) -> None:
        """End the spans of a source."""
        spans = self._spans.pop(id(source), None)
        if spans is not None:
            spans.end()

    def changed(self, source: Source, change: Change) -> None:
        """Begin and end spans."""
        spans = self._spans.get(id(source))
        if spans is not None:
            spans.changed(source, change)

    def opened(self, source: Source, epoch: int) -> None:
        """Begin the span of a login."""
        spans = self._spans.get(id(source))
        if isinstance(spans, ConnectionSpans):
            spans.opened(source, epoch)

    def hand_over(self, url: str, name: str) -> Span | None:
        """Return the span of the hand-over of this connection that is under way in this process."""
        for spans in tuple(self._spans.values()):
            if isinstance(spans, HandOverSpans) and (spans.url, spans.name) == (url, name):
                return spans.span
        return None


class ConnectionSpans:
    """The spans of one client.

    ``onesocket.connect``, from the token to the end of the login, has the children ``onesocket.login`` and
    ``onesocket.connection``; both link to the connection that they replace.
    """

    def __init__(self, traces: Traces, tracer: Tracer, name: str) -> None:
        self._traces = traces
        self._tracer = tracer
        self._name = name
        self._connect: Span | None = None
        self._login: Span | None = None
        self._connection: Span | None = None
        self._epoch = 0
        self._error: OnesocketError | None = None
        """Reason for the end of what is open."""
        self._replaced: SpanContext | None = None
        """The last connection."""
        self._counts_before = 0, 0
        """Messages received and sent before this connection."""

    def __repr__(self) -> str:
        return f"<ConnectionSpans epoch={self._epoch}>"

    def changed(self, source: Source, change: Change) -> None:
        """Begin and end spans."""
        cause = change.error.__cause__ if isinstance(change.error, RetriesExhausted) else None
        self._error = self._error or (cause if isinstance(cause, OnesocketError) else change.error)
        match change.new:
            case State.CONNECTING:
                self._finish(source)
                self._epoch = change.epoch
                parent = self._traces.hand_over(source.status.url, self._name)
                self._connect = self._start(source, "onesocket.connect", parent, links=True)
            case State.CONNECTED:
                connect, self._error = self._connect, None
                self._finish(source)
                self._epoch = change.epoch  # that of a successor, after a rotation
                self._counts_before = _counts(source)
                self._connection = self._start(source, "onesocket.connection", connect, links=True)
                self._replaced = self._connection.get_span_context()
            case State.CLOSING:
                pass  # it is open until its end
            case _:
                self._finish(source)

    def opened(self, source: Source, epoch: int) -> None:
        """Begin the span of the login."""
        if self._connect is not None and epoch == self._epoch:
            self._login = self._start(source, "onesocket.login", self._connect)

    def end(self) -> None:
        """End what is open: the client is gone."""
        self._finish(None)

    def _start(self, source: Source, name: str, parent: Span | None, *, links: bool = False) -> Span:
        from opentelemetry.trace import Link, SpanKind  # noqa: PLC0415 - an extra

        linked = [Link(self._replaced)] if links and self._replaced is not None else []
        attributes: dict[str, str | int] = {
            **self._place(source.status),
            "network.protocol.name": "websocket",
            _EPOCH: self._epoch,
        }
        return _start_span(self._tracer, name, parent, kind=SpanKind.CLIENT, attributes=attributes, links=linked)

    def _place(self, status: Status) -> dict[str, str | int]:
        return {**dict(source_attributes(status, self._name)), "url.full": status.url}

    def _finish(self, source: Source | None) -> None:
        error, self._error = self._error, None
        if self._connection is not None and source is not None:
            received, sent = (now - before for now, before in zip(_counts(source), self._counts_before, strict=True))
            self._connection.set_attribute("onesocket.connection.received_messages", received)
            self._connection.set_attribute("onesocket.connection.sent_messages", sent)
        if self._connect is not None and source is not None:
            self._connect.set_attributes(self._place(source.status))  # its URL was asked for meanwhile, perhaps
        for span in (self._login, self._connect, self._connection):
            if span is not None:
                _end_span(span, error)
        self._login = self._connect = self._connection = None


class HandOverSpans:
    """The span of one process while its connection changes its owner: ``onesocket.hand_over``.

    It ends when this process can use the connection again, as its owner or as a follower.
    """

    def __init__(self, tracer: Tracer, name: str) -> None:
        self._tracer = tracer
        self.name = name
        self.role = ""
        self.url = ""
        self.span: Span | None = None

    def __repr__(self) -> str:
        return f"<HandOverSpans {self.role} {'under way' if self.span is not None else 'idle'}>"

    def changed(self, source: Source, change: Change) -> None:
        """Begin the span with the loss of the owner, and end it with the next connection."""
        if isinstance(change.error, OwnerLost) and change.new is State.CONNECTING and self.span is None:
            from opentelemetry.trace import SpanKind  # noqa: PLC0415 - an extra

            status = source.status
            self.url = status.url
            attributes: dict[str, str | int] = {
                **dict(source_attributes(status, self.name)),
                "onesocket.hand_over.reason": str(change.error),
            }
            self.span = _start_span(
                self._tracer, "onesocket.hand_over", None, kind=SpanKind.INTERNAL, attributes=attributes, links=[]
            )
        elif self.span is not None and change.new not in _UNFINISHED_HAND_OVER:
            self.span.set_attribute(_EPOCH, change.epoch)
            self.span.set_attribute(ROLE, self.role)
            self.end(change.error if change.new is State.FAILED else None)

    def end(self, error: OnesocketError | None = None) -> None:
        """End the span."""
        if self.span is not None:
            _end_span(self.span, error)
            self.span = None


SourceSpans: TypeAlias = ConnectionSpans | HandOverSpans


def _counts(source: Source) -> tuple[int, int]:
    stats = stats_of(source)
    return (0, 0) if stats is None else (stats.connection.received, stats.connection.sent)


def _start_span(
    tracer: Tracer,
    name: str,
    parent: Span | None,
    *,
    kind: SpanKind,
    attributes: dict[str, str | int],
    links: list[Link],
) -> Span:
    from opentelemetry.context import Context  # noqa: PLC0415 - an extra
    from opentelemetry.trace import set_span_in_context  # noqa: PLC0415 - an extra

    # Never the program's current span: a connection outlives the call that asked for it.
    context = Context() if parent is None else set_span_in_context(parent, Context())
    return tracer.start_span(name, context=context, kind=kind, attributes=attributes, links=links)


def _end_span(span: Span, error: OnesocketError | None) -> None:
    from opentelemetry.trace import Status as SpanStatus  # noqa: PLC0415 - an extra
    from opentelemetry.trace import StatusCode  # noqa: PLC0415

    if error is not None:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(SpanStatus(StatusCode.ERROR, str(error)))
    span.end()
