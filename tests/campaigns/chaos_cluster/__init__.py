"""Chaos among hosts: they share one connection through an engine, while hosts, links, engine and upstream fail."""
