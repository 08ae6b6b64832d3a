"""The documents speak of what is there: links, paths, commands, versions, decisions."""

import re
import tomllib
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

import apps
from tests.shape import source
from tests.shape.source import ROOT

TOPS = ("apps", "workers", "tradingsite", "tests", "docs", "benchmarks", "migrations")
# Bars of a template, of a shell, or of prose: no path of ours.
_NOT_A_PATH = re.compile(r"[<>*$ …]|NNNN|NAME")
SECTIONS = ("**Decision.**", "**Why.**", "**Rejected.**", "**What would change our mind.**")
TEXTS = frozenset({".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".html", ".css", ".js", ".ini", ".cfg", ".json", ""})
IGNORED = frozenset({".git", ".venv", ".hypothesis", "var", "staticfiles", "node_modules"})


@pytest.fixture(params=source.documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def document(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def quoted(text: str) -> list[str]:
    """Return what stands in code quotes on one line, and the lines of code blocks."""
    blocks = re.findall(r"^```.*?$(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    return [*inline, *(line for block in blocks for line in block.splitlines())]


def test_links_lead_somewhere(document: Path) -> None:
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text())]
    local = [target for target in targets if target and not re.match(r"\w+:", target)]
    source.none_of(target for target in local if not (document.parent / target).exists())


def test_paths_in_code_quotes_exist(document: Path) -> None:
    words = {word.rstrip("/.,;:") for text in quoted(document.read_text()) for word in text.split()}
    paths = {word for word in words if word.startswith(tuple(f"{top}/" for top in TOPS))}
    found = {path.partition("::")[0] for path in paths if not _NOT_A_PATH.search(path)}
    source.none_of(path for path in found if not (ROOT / path).exists())


def test_commands_in_code_quotes_exist(document: Path) -> None:
    text = "\n".join(quoted(document.read_text()))
    commands = set(re.findall(r"manage\.py ([a-z][a-z_]+)", text))
    verbs = set(re.findall(r"\bmake ([a-z]+)", text))
    makefile = (ROOT / "Makefile").read_text()
    assert commands - set(get_commands()) == set()
    source.none_of(verb for verb in verbs if not re.search(rf"^{verb}:", makefile, re.MULTILINE))


def test_options_in_code_quotes_exist(document: Path) -> None:
    """Every long option on a line with one of our commands is an option of that command."""
    for line in quoted(document.read_text()):
        named = re.search(r"manage\.py ([a-z_]+)([^#|]*)", line)
        if named and named[1] in get_commands() and str(get_commands()[named[1]]).startswith(("apps.", "workers")):
            known = _help_of(named[1], *[word for word in named[2].split()[:1] if word.isalpha()])
            assert [option for option in re.findall(r"(?<=\s)--[a-z-]+", named[2]) if option not in known] == [], line


def _help_of(name: str, *subcommand: str) -> str:
    parser = load_command_class(str(get_commands()[name]), name).create_parser("manage.py", name)
    inner = [a.choices[word] for a in parser._actions for word in subcommand if word in (a.choices or ())]
    return "".join(each.format_help() for each in [parser, *inner])


def test_decisions_are_numbered_without_holes() -> None:
    files = sorted((source.DOCS / "decisions").glob("*.md"))
    assert files
    for number, path in enumerate(files, 1):
        assert path.name.startswith(f"{number:04}-"), f"{path.name} should have the number {number:04}"
        assert path.read_text().startswith(f"# {number:04} ")


@pytest.mark.parametrize("path", sorted((source.DOCS / "decisions").glob("*.md")), ids=lambda path: path.name[:4])
def test_a_decision_is_one_page_and_says_why(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 60
    source.none_of(section for section in SECTIONS if section not in text and not _is_told_otherwise(section, text))


def _is_told_otherwise(section: str, text: str) -> bool:
    """Some decisions are physics: what would change them is not asked."""
    return section == SECTIONS[-1] and "**What follows.**" in text


def test_every_document_is_reachable_from_the_front_page() -> None:
    """Each document is named in the README, or in one that is."""
    known, fresh = set(), {"README.md"}
    while fresh:
        known |= fresh
        text = "\n".join((ROOT / name).read_text() for name in fresh)
        fresh = {name for name in _names() if name in text or _folder(name) in text} - known
    assert _names() - known == set()


def _names() -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in source.documents()}


def _folder(name: str) -> str:
    return f"{Path(name).parent.as_posix()}/`" if "decisions" in name else name


def test_the_newest_change_is_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    titles = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert titles[0] == version == apps.VERSION
    assert titles == sorted(titles, key=lambda title: [-int(part) for part in title.split(".")])


def test_no_file_names_this_machine() -> None:
    """A path of the machine it was written on, or of a neighbour folder, is of no use elsewhere."""
    neighbours = [path for path in ROOT.parent.iterdir() if path != ROOT] if len(ROOT.parts) > 2 else []
    banned = [re.escape(str(path)) + r"(?![\w-])" for path in [ROOT, *neighbours]]
    assert _files_with("|".join(banned)) == []


def test_no_file_names_a_package_index() -> None:
    """Where packages come from is the machine's own configuration, never ours."""
    assert _files_with(r"(?:extra-)?index-url\s*=?\s*\w+://|trusted-host") == []


def _files_with(pattern: str) -> list[str]:
    found = re.compile(pattern)
    me = Path(__file__)
    return [
        str(path.relative_to(ROOT))
        for path in _texts()
        if path != me and found.search(path.read_text(errors="replace"))
    ]


def _texts() -> list[Path]:
    tops = [path for path in ROOT.iterdir() if path.name not in IGNORED and not path.name.endswith("_cache")]
    files = [path for top in tops for path in ([top] if top.is_file() else top.rglob("*")) if path.is_file()]
    return [p for p in files if p.suffix in TEXTS and "__pycache__" not in p.parts and p.stat().st_size < 1 << 20]
