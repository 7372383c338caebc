"""Errors for what a probe of a Redis server was refused: the user's rights, or the server's state."""

import pytest

from onesocket.errors import EngineCommandDenied, EngineFull, EngineUnavailable, OnesocketError
from onesocket.sharing.cluster._redis_errors import refused_commands

NO_REPLICAS = "NOREPLICAS Not enough good replicas to write."
NO_SAVE = "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk."
NO_RIGHT = "NOPERM User member has no permissions to run the 'xadd' command"


def error_of(**refused: str) -> OnesocketError:
    return refused_commands(refused, "redis://host:6379", "onesocket")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (NO_REPLICAS, EngineUnavailable),
        ("READONLY You can't write against a read only replica.", EngineUnavailable),
        (NO_SAVE, EngineFull),
    ],
)
def test_a_server_that_refuses_all_writes_for_a_while_is_not_one_without_rights(
    text: str, kind: type[OnesocketError]
) -> None:
    error = error_of(DEL=text, SET=text, XADD=text)
    assert type(error) is kind
    assert error.retryable
    assert "+" not in str(error)


def test_missing_rights_are_named_also_by_a_server_that_refuses_all_writes() -> None:
    error = error_of(SET=NO_REPLICAS, XADD=NO_RIGHT, XTRIM=NO_RIGHT.replace("xadd", "xtrim"), HSET=NO_REPLICAS)
    assert isinstance(error, EngineCommandDenied)
    assert error.command == "xadd"
    assert str(error).endswith("this user may not run xadd, xtrim: add +xadd +xtrim")


@pytest.mark.parametrize(
    "text",
    ["ERR Unknown command called from script script: 3d1", "ERR Unknown Redis command called from script script: 3d1"],
)
def test_a_command_that_was_renamed_is_no_missing_right(text: str) -> None:
    error = error_of(XADD=text)
    assert isinstance(error, EngineCommandDenied)
    assert (error.command, str(error)) == ("xadd", "redis://host:6379 has no command XADD: renamed, or not Redis >= 7")
