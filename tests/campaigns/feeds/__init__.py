"""Feeds soak: readers in several processes share the accounts of six fake venues that break their connections."""
