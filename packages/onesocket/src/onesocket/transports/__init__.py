"""Frames in, frames out: the transport port and what implements it."""
