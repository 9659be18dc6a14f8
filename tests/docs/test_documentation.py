"""The documentation says what is true: its commands run, its links resolve, its reference is complete."""

import json
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from evercast.cli import COMMANDS
from evercast.errors import EvercastError

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial" / "first-analysis.md"
BLOCK = re.compile(r'```(\w+)(?: title="([^"]+)")?\n(.*?)```', re.DOTALL)


def blocks() -> dict[str, str]:
    """The titled blocks of the tutorial, by title."""
    return {title: text for _, title, text in BLOCK.findall(TUTORIAL.read_text(encoding="utf-8")) if title}


def final_document() -> str:
    """The document at the end of the tutorial: the additions put where the text says."""
    document = yaml.safe_load(blocks()["analysis.yaml"])
    for section, entries in yaml.safe_load(blocks()["additions to analysis.yaml"]).items():
        assert not set(document.get(section, {})) & set(entries)
        document.setdefault(section, {}).update(entries)
    return yaml.safe_dump(document, sort_keys=False)


def evercast(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from evercast.cli import main; sys.exit(main())", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's folder after step 1."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "make_samples.py").write_text(blocks()["make_samples.py"])
    subprocess.run([sys.executable, "make_samples.py"], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize("text", [blocks()["analysis.yaml"], final_document()], ids=["binned", "both"])
def test_the_tutorial_documents_are_valid_and_can_be_planned(folder: Path, text: str) -> None:
    (folder / "analysis.yaml").write_text(text)
    validated = evercast(folder, "validate", "analysis.yaml")
    assert (validated.returncode, validated.stderr) == (0, "")
    planned = evercast(folder, "plan", "analysis.yaml", "--json")
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)


def test_the_mistake_suggested_in_the_tutorial_is_found(folder: Path) -> None:
    text = blocks()["analysis.yaml"]
    (folder / "typo.yaml").write_text(text.replace("luminosity_fb: 10", "luminosity: 10"))
    result = evercast(folder, "validate", "typo.yaml")
    assert result.returncode == 3
    assert "luminosity_fb" in result.stdout + result.stderr


def test_the_tutorial_never_asks_for_a_number_yaml_reads_as_text() -> None:
    training = yaml.safe_load(final_document())["ensembles"]["ratios"]["training"]
    assert isinstance(training["learning_rate"], float)


@pytest.mark.slow
def test_the_tutorial_runs_to_its_end(folder: Path) -> None:
    (folder / "analysis.yaml").write_text(final_document())
    ran = evercast(folder, "run", "analysis.yaml", "--cores", "2")
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "binned" in ran.stdout
    assert "neural" in ran.stdout
    results = folder / "results" / "first"
    assert (results / "report.html").exists()
    for line in commands_of_step_7():
        result = evercast(folder, *line.split()[1:])
        assert result.returncode == 0, result.stderr
    fit = json.loads((results / "fit.json").read_text())["results"]
    for name in ("binned", "neural"):
        best = fit[name]["expected"]["fit"]["parameters"]["mu"]
        # the page says: within about a quarter of the uncertainty; twice that is allowed for another processor
        assert abs(best["value"] - 1) < 0.5 * best["uncertainty"]


def commands_of_step_7() -> list[str]:
    text = TUTORIAL.read_text(encoding="utf-8").split("## 7.")[1]
    lines = BLOCK.search(text)
    assert lines is not None
    return [line for line in lines[3].splitlines() if line.startswith("evercast ")]


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if (name == "src" or (name == "href" and tag == "link")) and value:
                self.loaded.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        links = Links()
        links.feed(page.read_text(encoding="utf-8"))
        assert [link for link in links.loaded if link.startswith(("http:", "https:", "//"))] == []


def test_the_reference_has_every_key_of_the_schema(site: Path) -> None:
    schema = json.loads((ROOT / "src/evercast/schemas/1.0.0/analysis.schema.json").read_text())
    page = (site / "reference" / "document.html").read_text(encoding="utf-8")
    keys = {key for body in [schema, *schema["$defs"].values()] for key in body.get("properties", {})}
    assert [key for key in sorted(keys) if f"<code>{key}</code>" not in page] == []


def test_the_reference_has_every_command_and_every_exit_code(site: Path) -> None:
    page = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f'id="{name}"' not in page] == []
    errors = (site / "reference" / "errors.html").read_text(encoding="utf-8")
    codes = {kind.exit_code for kind in EvercastError.__subclasses__()}
    assert [code for code in codes if f"<td>{code}</td>" not in errors] == []


def test_the_links_of_the_top_level_documents_resolve() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text)]
        local = [target for target in targets if target and not target.startswith("http")]
        assert [target for target in local if not (ROOT / target).exists()] == []


def test_the_citation_names_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
