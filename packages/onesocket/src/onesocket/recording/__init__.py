"""Flight recorder of connections: `Client(recorder=FlightRecorder())`, its files, and their reader."""

from ..errors import InvalidRecording
from ._files import RecordingFile
from ._lines import Header, Line
from ._reader import Recording
from ._recorder import FlightRecorder, RecordingSink

__all__ = ["FlightRecorder", "Header", "InvalidRecording", "Line", "Recording", "RecordingFile", "RecordingSink"]
