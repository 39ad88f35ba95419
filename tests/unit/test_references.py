"""Every work that the tree cites has its entry in REFERENCES.md, and every entry is cited."""

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
REFERENCES = "REFERENCES.md"
PATTERNS = ("*.py", "*.md", "*.toml", "*.js", "*.yml")
UNREAD = {REFERENCES, "tests/unit/test_references.py"}  # the list itself, and the made-up citations below

# A code is two to four initials, or one name, and two digits of a year from 1990 to 2029: HJA20, Lu22.
# Base64, Int32 and H100 are none: no such year, or one letter. Nor are RFC9457 and SHA256: more digits.
# BF16 is a type of numbers.
CODE = re.compile(r"\b(?!BF16\b)(?:[A-Z]{2,4}|[A-Z][a-z]+)(?:9\d|[0-2]\d)\b")

# A name and year is one surname or two, and a whole year: Canny 1986, Székely & Rizzo 2013, Hang (2023).
# A surname has a small second letter, so MNIST is none. What stands before a year in a date or a sentence is none.
# `et al.` and a list of three are found too, but have no entry: more than two authors are cited by the first alone.
SURNAME = r"[A-ZÀ-Þ][a-zß-ÿ]+(?:[-’']?[A-ZÀ-Þ][a-zß-ÿ]+)*"
MONTH = (
    "January|February|March|April|May|June|July|August|September|October|November|December"
    "|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec"
)
IN_A_SENTENCE = "After|Before|By|Copyright|From|In|Of|On|Seed|Since|To|Until|Year"
GAP = r"[\s#]+"  # a citation may go on in the next line of a comment
NAME_AND_YEAR = re.compile(
    rf"\b(?!(?:{MONTH}|{IN_A_SENTENCE})\b)({SURNAME}(?:{GAP}(?:&|and){GAP}{SURNAME}|{GAP}et{GAP}al\.)?)"
    rf",?{GAP}\(?((?:19|20)\d\d)\b(?!-\d\d)"
)

ENTRY = re.compile(
    r"(?P<authors>[^*]+)\. \*(?P<title>[^*]+)[.?!]\* (?P<venue>.*?\b(?P<year>(?:19|20)\d\d))\. "
    r"(?P<identifier>arXiv:\d{4}\.\d{4,5}|doi:10\.\d{4,}/\S+|No arXiv number or DOI: \S.+)\. "
    r"Taken: (?P<taken>.+)\."
)


class Entry(NamedTuple):
    name: str
    text: str


def citations(text: str) -> set[str]:
    """The works that a text cites, by code or by name and year."""
    named = (f"{re.sub(GAP, ' ', who)} {year}" for who, year in NAME_AND_YEAR.findall(text))
    return set(CODE.findall(text)) | set(named)


def entries(text: str) -> list[Entry]:
    """In the order of the list, each in one line."""
    return [
        Entry(name.strip(), " ".join(body.split()))
        for name, _, body in (part.partition("\n") for part in text.split("\n## ")[1:])
    ]


@cache
def tracked() -> dict[str, str]:
    """Path → text of every file that may cite."""
    command = ["git", "ls-files", "-z", *PATTERNS]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return {name: (ROOT / name).read_text() for name in names if name and name not in UNREAD}


LISTED = entries((ROOT / REFERENCES).read_text())


def test_every_citation_has_its_entry_and_every_entry_is_cited():
    files = tracked()
    cited = {citation: name for name, text in files.items() for citation in citations(text)}
    listed = {entry.name for entry in LISTED}
    assert {citation: name for citation, name in cited.items() if citation not in listed} == {}
    assert listed - cited.keys() == set()


def test_entries_are_in_order_and_each_is_there_once():
    names = [entry.name for entry in LISTED]
    assert names == sorted(set(names), key=str.casefold)


@pytest.mark.parametrize("entry", LISTED, ids=[entry.name for entry in LISTED])
def test_an_entry_says_who_what_where_when_and_by_which_number(entry):
    found = ENTRY.fullmatch(entry.text)
    assert found, entry.text
    first = found["authors"].split(",")[0]
    if CODE.fullmatch(entry.name):
        assert entry.name[0] in first and entry.name[-2:] in re.findall(r"\b(?:19|20)(\d\d)\b", found["venue"])
    else:
        surname, year = re.split(r" & | ", entry.name)[0], entry.name[-4:]
        assert first.endswith(surname) and year in found["venue"]


@pytest.mark.parametrize("entry", LISTED, ids=[entry.name for entry in LISTED])
def test_an_entry_names_files_that_cite_it(entry):
    files, named = tracked(), re.findall(r"`([\w/.-]+/[\w.-]+)`", entry.text)
    assert named
    assert [name for name in named if entry.name not in citations(files.get(name, ""))] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("as in ABC29 eq. 3, and Doe27's own remedy", {"ABC29", "Doe27"}),
        ("(Nobody 2025, section 3)", {"Nobody 2025"}),
        ("Nobody (2025) and Never-Was & Noone 1987.", {"Nobody 2025", "Never-Was & Noone 1987"}),
        ("# by Nobody\n# 2025", {"Nobody 2025"}),
        ("Nobody et al. 2025", {"Nobody et al. 2025"}),
        ("Nobody, Noone & Never 2025", {"Noone & Never 2025"}),
    ],
)
def test_a_new_citation_is_found_and_would_have_no_entry(text, found):
    assert citations(text) == found
    assert found.isdisjoint(entry.name for entry in LISTED)


@pytest.mark.parametrize(
    "text",
    [
        "RFC 9457, RFC9110 and SHA256 of Base64 on an H100",
        "Int32Array, float32, UTF-8, T4, L40S",
        "Debian 12, Python 3.12, CUDA 13, MNIST 2000",
        "## 0.3.0, 2026-11-28; on 28 November 2026; In 2024, Since 1970",
        "1,000 images, seed 2026, T = 1000, a row of 2048",
    ],
)
def test_what_only_looks_like_a_citation_is_none(text):
    assert citations(text) == set()
