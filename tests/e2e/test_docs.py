"""The documents and the programs say the same."""
import pathlib
import re

import pytest

from harness.process import run

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def sections(text):
    """{title without backquotes: text} of the second-level headings."""
    parts = re.split(r"^## `?(.*?)`?$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def sources(*folders):
    """The text of our own sources, tests left out."""
    return "".join(path.read_text() for folder in folders for path in sorted((ROOT / folder).rglob("*.cc"))
                   if not path.stem.endswith(("_test", "_benchmark")))


def anchor(title):
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        file, _, fragment = target.partition("#")
        path = (document.parent / file).resolve() if file else document
        assert path.exists(), target
        if fragment:
            titles = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
            assert fragment in map(anchor, titles), target


def test_commands_of_the_readme_exist():
    text = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    for name in set(re.findall(r"(?:scripts|bench|deploy|crds)/[\w./-]+", text)):
        assert (ROOT / name.rstrip("./")).exists(), name


@pytest.mark.parametrize("program", ["rota-controller", "rota-dataplane", "rota-mock-llm"])
def test_flags_are_those_of_help(program):
    documented = sections((ROOT / "docs/reference/flags.md").read_text())[program]
    in_table = dict(re.findall(r"^\| `(--[\w-]+).*?` \| (.*?) \|", documented, re.M))
    text = run(program, "--help").stdout
    shown = set(re.findall(r"^ {1,4}(?:-\w, ?)?(--[a-z][\w-]+)", text, re.M))
    assert shown - {"--help", "--version", "--config"} == set(in_table)
    for flag, default in in_table.items():
        stated = re.search(rf"^ *{flag} [^\n]*?\[(.*?)\]", text, re.M)
        is_range = stated and " - " in stated.group(1)
        if stated and not is_range and re.fullmatch(r"`[^`$]*`", default):
            assert stated.group(1) == default.strip("`"), flag


@pytest.mark.parametrize("title, folders", [("Data plane", ["dataplane", "common"]), ("Controller", ["controller", "common"])])
def test_metrics_are_those_of_the_source(title, folders):
    documented = sections((ROOT / "docs/reference/metrics.md").read_text())[title]
    names = set(re.findall(r'"((?:rota|process)_[a-z_]+)"', sources(*folders)))
    assert set(re.findall(r"^\| `(\w+)", documented, re.M)) == names


def test_error_codes_are_those_of_the_source():
    documented = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs/reference/errors.md").read_text(), re.M))
    text = sources("dataplane/engine")
    fields = (ROOT / "dataplane/provider/field_rules.cc").read_text()  # whose errors the engine answers
    assert documented, "docs/reference/errors.md has a row per code"
    for code in documented:
        assert f'"{code}"' in text + fields, f"{code} is documented and never answered"
    for code in re.findall(r'(?:code = |\{[45]\d\d,\s*)"(\w+)"', text):
        assert code in documented, f"{code} is answered and not documented"
