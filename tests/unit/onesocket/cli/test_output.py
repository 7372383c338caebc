"""The remarks of the commands on stderr."""

import pytest

from onesocket.cli._output import Output


def test_remarks_mask_secrets_and_a_token_of_one_letter_does_not_shred_them(capfd: pytest.CaptureFixture[str]) -> None:
    output = Output(secrets=["e", "", "s3cret", "s3cret-and-more"])
    output.fail("the server said: s3cret-and-more, s3cret")
    assert capfd.readouterr().err == "onesocket: the server said: ***, ***\n"
