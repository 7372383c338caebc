"""Alembic's scripts: one for each step from one shape of the tables to the next."""
