from pathlib import Path

import pytest

from tools.names import (
    BASELINE,
    PRONOUNS,
    REFERENCE,
    duplicate_classes,
    main,
    public_modules,
    riddles,
    uncovered_modules,
)

PYPROJECT = """
[tool.onesocket-names]
pairs = []
"""


@pytest.fixture
def write(tmp_path: Path) -> "Writer":
    return Writer(tmp_path)


class Writer:
    """Writes files of a made-up repository."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self("pyproject.toml", PYPROJECT)

    def __call__(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def test_a_class_name_used_twice_in_one_distribution_is_found(write: Writer) -> None:
    write("packages/one/src/one/_a.py", "class Session:\n    class Part: ...\n")
    write("packages/one/src/one/_b.py", "if True:\n    class Session: ...\ndef f():\n    class Local: ...\n")
    write("packages/two/src/two/_a.py", "class Session: ...\nclass Local: ...\n")
    write("tests/test_a.py", "class Part: ...\n")
    write("tests/test_b.py", "class Part: ...\n")
    assert duplicate_classes(write.root, []) == [
        "packages/one/src/one/_b.py:2: class Session has the name of packages/one/src/one/_a.py:1",
        "tests/test_b.py:1: class Part has the name of tests/test_a.py:1",
    ]


def test_a_listed_pair_needs_a_reason_and_two_classes(write: Writer) -> None:
    write("packages/one/src/one/_a.py", "class Session: ...\n")
    write("packages/one/src/one/_b.py", "class Session: ...\n")
    pair = {"distribution": "one", "name": "Session", "reason": "sans-IO part and its shell"}
    assert duplicate_classes(write.root, [pair]) == []
    assert len(duplicate_classes(write.root, [pair | {"reason": " "}])) == 1
    assert len(duplicate_classes(write.root, [pair, pair | {"distribution": "tests"}])) == 1


def test_each_public_module_of_a_listed_folder_is_a_namespace_with_its_private_ones(write: Writer) -> None:
    for name in ("home", "home_help", "shop", "_home_messages", "_home_help_messages", "_shop_messages", "_common"):
        write(f"packages/one/src/one/services/{name}.py", "class Event: ...\n" if "_messages" in name else "")
    write("packages/one/src/one/services/_registry.py", "class Service: ...\n")
    write("packages/one/src/one/core.py", "class Event: ...\n")
    folder = {"folder": "packages/one/src/one/services", "reason": "home.Event and shop.Event"}
    assert duplicate_classes(write.root, [], [folder]) == []
    assert len(duplicate_classes(write.root, [], [folder | {"reason": " "}])) == 1
    (problem,) = duplicate_classes(write.root, [], [folder, folder | {"folder": "packages/gone"}])
    assert problem == "pyproject.toml: packages/gone is no folder"
    write("packages/one/src/one/services/_shop_books.py", "class Event: ...\n")
    write("packages/one/src/one/core.py", "class Service: ...\n")
    services = "packages/one/src/one/services"
    assert sorted(duplicate_classes(write.root, [], [folder])) == [
        f"{services}/_registry.py:1: class Service has the name of packages/one/src/one/core.py:1",
        f"{services}/_shop_messages.py:1: class Event has the name of {services}/_shop_books.py:1",
    ]


@pytest.mark.parametrize("word", PRONOUNS)
def test_a_docstring_whose_subject_is_a_pronoun_is_found(write: Writer, word: str) -> None:
    text = f'"""{word.capitalize()} waits."""'
    write(
        "packages/one/src/one/_a.py",
        f"{text}\nclass A:\n    {text}\n    x = 1\n    {text}\n    def f():\n        {text}\n",
    )
    assert [(one.line, one.sentence) for one in riddles(write.root)] == [
        (line, f"{word.capitalize()} waits.") for line in (1, 3, 5, 7)
    ]


def test_only_the_subject_of_the_first_sentence_counts(write: Writer) -> None:
    write("packages/one/src/one/_a.py", '"""Waits for what comes. It ends.\n\nWho cares."""\n')
    write(
        "packages/one/src/one/_b.py",
        '"""Iterates, whatever happens."""\ndef f():\n    """The peer."""\n    """It."""\n',
    )
    assert riddles(write.root) == []


@pytest.mark.parametrize("folder", ["packages/one/src", "tests", "tools", "benchmarks", "examples/demo"])
def test_docstrings_are_checked_in_every_folder_with_code(write: Writer, folder: str) -> None:
    write(f"{folder}/a.py", '"""Who waits."""\n')
    assert [one.sentence for one in riddles(write.root)] == ["Who waits."]


def test_a_public_module_that_the_reference_lacks_is_found(write: Writer) -> None:
    for name in ("__init__", "errors", "_private", "_folder/part", "client/__init__"):
        write(f"packages/one/src/one/{name}.py", "")
    assert public_modules(write.root) == ["one", "one.client", "one.errors"]
    write(str(REFERENCE), "`one` and `one.errors`")
    (problem,) = uncovered_modules(write.root)
    assert problem.startswith("one.client: public")


def test_the_baseline_excuses_old_sentences_and_only_shrinks(write: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    write("packages/one/src/one/_a.py", '"""What a test\ndoes: much."""\ndef f():\n    """It ends."""\n')
    write(str(BASELINE), "It is gone.\nWhat a test does:\n")
    assert main([], write.root) == 1
    assert capsys.readouterr().err.startswith("packages/one/src/one/_a.py:4: ")
    write("packages/one/src/one/_a.py", '"""What a test does: more."""\n')
    assert main(["--shrink"], write.root) == 0
    assert (write.root / BASELINE).read_text("utf-8") == "What a test does:\n"
    write("packages/one/src/one/_a.py", '"""It is gone."""\n')
    assert main([], write.root) == 1


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("packages/one/src/one/_b.py", "class Session: ...\n", "class Session has the name of"),
        ("packages/one/src/one/_b.py", '"""Nobody waits."""\n', "the docstring's subject is a pronoun: Nobody waits."),
        ("packages/one/src/one/b.py", "", "one.b: public, and not in docs/reference/index.md"),
    ],
)
def test_the_command_fails_on_each_kind_of_problem(
    write: Writer, capsys: pytest.CaptureFixture[str], name: str, text: str, problem: str
) -> None:
    write("packages/one/src/one/_a.py", "class Session: ...\n")
    assert main([], write.root) == 0
    write(name, text)
    assert main([], write.root) == 1
    assert problem in capsys.readouterr().err
