"""Where code begins in a message: cases for the server, the page and the terminal, which have to agree."""

import json
from pathlib import Path
from typing import Final

CODE_CASES: Final[list[tuple[str, list[str], list[int]]]] = [
    (text, codes, mentioned)
    for text, codes, mentioned in json.loads(Path(__file__).with_name("code_in_messages.json").read_text())
]
"""A text, the code that is shown of it, and the users whom it mentions outside of code."""
