"""Fuzzing of the C twin of `onesocket.wire`: ``python -m tests.campaigns.fuzz --seconds 60``."""
