"""The version of the distribution."""

__version__ = "0.1.0"
"""The only place that states it. Not read from the installed metadata: importing what reads them takes 10 ms."""
