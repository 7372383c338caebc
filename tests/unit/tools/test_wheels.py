from pathlib import Path

from tools.core_wheel import foreign_files, wrong_commands, wrong_fixtures
from tools.wheels import declared, requirements

ROOT = Path(__file__).resolve().parents[3]


def test_markers_choose_the_requirements_and_own_distributions_are_left_out() -> None:
    texts = ["backports.zstd>=1; python_version < '3.14'", "onesocket[cli]==0.1.0", "rich>=14", "rich>=14"]
    assert requirements(texts, "3.13", ["onesocket"]) == ["backports.zstd>=1", "rich>=14"]
    assert requirements(texts, "3.14", ["onesocket"]) == ["rich>=14"]


def test_requirements_of_all_three_distributions_and_of_the_tests_are_found() -> None:
    texts, own = declared(ROOT)
    assert own == ["onesocket", "onesocket-chat", "onesocket-discord"]
    names = " ".join(texts)
    assert all(name in names for name in ("h11", "sqlalchemy", "textual", "websockets", "pytest"))


def test_a_foreign_file_in_the_core_wheel_is_found() -> None:
    good = ["onesocket/hub/_frontend.py", "onesocket-0.1.0.dist-info/METADATA"]
    bad = ["onesocket_discord/__init__.py", "onesocket/cli/demo.py", "onesocket/chat/server.py", "tests/conftest.py"]
    assert foreign_files(good + bad) == bad


def script(folder: Path, text: str) -> list[str]:
    path = folder / "command"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return [str(path)]


def test_a_missing_and_a_foreign_fixture_are_found(tmp_path: Path) -> None:
    listed = "printf 'faulty_server -- file\\nmemory_server -- file\\nthreaded_faulty_server -- file\\n'"
    assert wrong_fixtures(script(tmp_path, listed), str(tmp_path)) == []
    assert len(wrong_fixtures(script(tmp_path, "exit 1"), str(tmp_path))) == 3
    assert wrong_fixtures(script(tmp_path, f"{listed}; echo chat_server -- file"), str(tmp_path)) == [
        "pytest has the fixture chat_server, which is not installed"
    ]


def test_a_command_that_names_no_distribution_is_found(tmp_path: Path) -> None:
    def command(text: str) -> list[str]:
        return script(tmp_path, text)

    help_only = 'test "$1" = --help && echo connect && exit'
    good = command(f'{help_only}; echo "in onesocket-discord or onesocket-chat" >&2; exit 2')
    assert wrong_commands(good) == []
    assert [text.split()[0] for text in wrong_commands(command(f"{help_only}; exit 2"))] == ["serve", "chat"]
    assert wrong_commands(command("echo connect serve; exit 1"))[:2] == [
        "--help exits with 1: ",
        "--help lists serve, which is not installed",
    ]
