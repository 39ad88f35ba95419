"""README is short, links lead somewhere, and requests in the documents are valid."""

import re
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from service.jobs.job_request import JobRequest
from service.requests.schemas import SampleRequest

ROOT = Path(__file__).parents[2]
MAX_README = 150  # lines

FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
INLINE_CODE = re.compile(r"`[^`\n]*`")
SOURCE = re.compile(r"`(\w[\w./-]*/[\w.-]+\.(?:py|js|yml|json|md))`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
REQUEST = re.compile(r"(?:-d|echo) '(\{.*?\})'")
JOB = re.compile(r"--json '(\{.*?\})' \S*/jobs$", re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def documents() -> list[str]:
    command = ["git", "ls-files", "-z", "*.md"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [name for name in names if name]


def targets(text: str) -> list[str]:
    """Of every link and picture, except those in code and those with a scheme such as https."""
    prose = INLINE_CODE.sub("", FENCED.sub("", text))
    return [target for target in LINK.findall(prose) if not re.match(r"[a-z]+:", target)]


def anchor(heading: str) -> str:
    """As GitHub derives it: links by their text, small letters, no punctuation, hyphens for spaces."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


@cache
def anchors(path: Path) -> frozenset[str]:
    return frozenset(map(anchor, HEADING.findall(FENCED.sub("", path.read_text()))))


def broken(name: str, text: str) -> list[str]:
    """The targets that lead nowhere, of a document with that name and text."""
    found = []
    for target in targets(text):
        file, _, part = target.partition("#")
        path = (ROOT / name).parent / unquote(file) if file else ROOT / name
        if not path.exists() or (part and part not in anchors(path)):
            found.append(target)
    return found


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= MAX_README


@pytest.mark.parametrize("name", documents())
def test_links_lead_to_files_and_headings(name):
    assert broken(name, (ROOT / name).read_text()) == []


@pytest.mark.parametrize("name", [name for name in documents() if not name.startswith("checkpoints/")])
def test_the_files_that_a_document_names_exist(name):
    assert [path for path in SOURCE.findall((ROOT / name).read_text()) if not (ROOT / path).exists()] == []


def test_a_broken_link_is_found():
    text = (
        "[a](LICENSE) [b](NONE.md) ![c](docs/none.png) [d](README.md#start) [e](README.md#none) [f](https://a.example)"
    )
    assert broken("README.md", text) == ["NONE.md", "docs/none.png", "README.md#none"]
    assert broken("docs/asking.md", "[a](asking.md) [b](../LICENSE) [c](README.md) `[d](none)`") == ["README.md"]
    assert broken("docs/asking.md", "[a](#openais-images-api) [b](#none)") == ["#none"]


def test_requests_in_the_documents_are_valid():
    texts = [(ROOT / name).read_text() for name in documents() if not name.startswith("checkpoints/")]
    bodies = [body for text in texts for body in REQUEST.findall(text)]
    assert len(bodies) > 5
    for body in bodies:
        SampleRequest.model_validate_json(re.sub(r"'\$\w+'", "2", re.sub(r"'\$\(.*?\)'", "aGludA==", body)))


def test_jobs_in_the_documents_are_valid_and_every_field_of_a_job_is_told():
    page = (ROOT / "docs/jobs.md").read_text()
    bodies = JOB.findall(page)
    assert bodies
    for body in bodies:
        JobRequest.model_validate_json(body)
    told = set(re.findall(r"^\| `(\w+)` \|", page.split("| field |")[1].split("\n\n")[0], re.MULTILINE))
    assert told == JobRequest.model_fields.keys() - (SampleRequest.model_fields.keys() - {"n", "label"})


def test_every_field_of_a_request_is_in_the_table_of_fields():
    section = (ROOT / "docs/asking.md").read_text().split("\n## Fields\n")[1]
    table = section.split("| field |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(SampleRequest.model_fields)
