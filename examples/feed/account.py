"""The account that all programs of this example share, from the variables of account.env."""

import os
from typing import Any

URL = os.environ["FEED_URL"]  # of a real account: alpaca.url("iex")
TOKEN = f"{os.environ['APCA_API_KEY_ID']}:{os.environ['APCA_API_SECRET_KEY']}"
SCOPE: Any = os.environ.get("SCOPE", "host")  # "process": this process has a connection of its own
