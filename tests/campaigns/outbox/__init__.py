"""Kills a program that sends through a durable outbox, at every step, while the server counts."""
