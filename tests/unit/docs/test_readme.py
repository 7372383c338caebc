"""Checks the length of the README, and its links in the repository and on a package index."""

import re
from pathlib import Path

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = sorted(path.parent for path in (ROOT / "packages").glob("*/pyproject.toml"))
LINK = re.compile(r"\]\(([^)]+)\)")


@pytest.fixture(params=PACKAGES, ids=lambda path: path.name)
def package(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return each distribution, in whose folder the test runs, as a build does."""
    path: Path = request.param
    monkeypatch.chdir(path)
    return path


def on_the_index(package: Path) -> str:
    """Return the description that a package index shows."""
    metadata = ProjectMetadata(str(package), PluginManager())
    assert metadata.core.readme_content_type == "text/markdown"
    return metadata.core.readme


def test_the_readme_has_at_most_600_words() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= 600


def test_the_readme_of_the_repository_is_that_of_its_main_distribution() -> None:
    text = (ROOT / "packages" / "onesocket" / "README.md").read_text("utf-8")
    assert (ROOT / "README.md").read_text("utf-8") == text.replace("](../../", "]("), "run: make reference"


def test_a_package_index_gets_no_relative_link(package: Path) -> None:
    text = on_the_index(package)
    assert [link for link in LINK.findall(text) if not link.startswith("https://")] == []
    assert "Paths in parentheses are files of the source distribution." in text


def test_every_path_that_a_package_index_shows_is_in_the_source_distribution(package: Path) -> None:
    shown = re.findall(r"(?: \(|: )`([\w./-]+)`\)", on_the_index(package))
    config = ProjectMetadata(str(package), PluginManager()).hatch.build_targets["sdist"]
    sources = {target: (package / source).resolve() for source, target in config["force-include"].items()}
    assert shown
    assert all(source.exists() for source in sources.values())
    for path in shown:
        target = next((name for name in sources if path == name or path.startswith(f"{name}/")), None)
        included = (sources[target] / path[len(target) + 1 :]) if target else package / path
        assert included.exists(), path


def test_links_of_each_readme_lead_somewhere() -> None:
    for folder in (ROOT, *PACKAGES):
        links = LINK.findall((folder / "README.md").read_text("utf-8"))
        assert [link for link in links if not (folder / link.partition("#")[0]).exists()] == []
