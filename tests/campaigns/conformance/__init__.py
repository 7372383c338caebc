"""Conformance: the fuzzing server of Autobahn against the transports and the client."""
