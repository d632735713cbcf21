"""The report holds every answer, escapes what it is given, loads nothing, and fits a phone."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import shutil
from collections import Counter
from dataclasses import asdict
from html.parser import HTMLParser

import pandas as pd
import pytest

from analyses import list_questions
from analyses.divergence import QUESTION, DivergenceSettings
from analyses.premise import PremiseSettings
from analyses.shared.section import HeadMap, Mark, Scatter, Section
from kvprobes.report.page import write_report
from kvprobes.report.summary import summarise
from kvprobes.results import ResultFolder
from probes.capture.store import FORMAT, create_store
from probes.errors import StoreError, StoreMismatchError
from probes.files import hash_json
from probes.similarity.catalogue import (
    define_figures,
    list_nulls,
    register_condition,
    unregister_condition,
)
from probes.similarity.condition import Condition
from tests.analyses.tables import drop_figures, make_tables
from tests.damage import rewrite
from tests.kvprobes.toy_question import NAME as TOY
from tests.kvprobes.toy_question.figures import draw as draw_toy

EVIL = "<script>alert(1)</script>"
VOID = {"meta", "img", "br", "link", "input", "hr"}
IDENTITY = {"weights": "w" * 64, "key_stage": "normed", "format": FORMAT}
SETTINGS = asdict(DivergenceSettings(draws=2, seed=5))
INPUTS = {"capture": hash_json(IDENTITY), "pairs": "p" * 64, "settings": SETTINGS}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that tags nest and wide things can scroll."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.open, self.text = [], [], [], ""
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        if tag in ("table", "img"):
            names = [value for _, own in self.open for name, value in own if name == "class"]
            assert any("wide" in value.split() for value in names), tag
        if tag not in VOID:
            self.open.append((tag, attributes))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        self.text += data

    def values(self, wanted):
        return [value for _, name, value in self.attributes if name == wanted]


def prepare(path, tables, *, figures=False, capture=True, n_kv_heads=2):
    folder = ResultFolder(path)
    folder.write_tables("divergence", tables, inputs=INPUTS)
    if figures:
        folder.write_figures("divergence", QUESTION.draw(tables))
    if capture:
        names = ["template_id", "modifier", "head", "sentence", "reason"]
        losses = pd.DataFrame([["t0", EVIL, "h", "s", "no <b> token"]], columns=names)
        templates = pd.DataFrame({"template_id": ["t0"], "text": ["The {modifier} <i>{head}."]})
        write_capture(folder, losses, templates, n_kv_heads=n_kv_heads)
    return folder


def write_capture(folder, losses, templates, *, n_kv_heads=2):
    create_store(
        folder.capture,
        {name: part for name, part in IDENTITY.items() if name != "format"},
        tables={
            "losses": losses,
            "templates": templates,
            "pairs": pd.DataFrame(),
            "occurrences": pd.DataFrame({"word": []}),
        },
        constants={},
        n_shards=1,
        context={
            "model": EVIL,
            "geometry": {"n_heads": 6, "n_kv_heads": n_kv_heads},
            "origin": {"precision": "Q4_1"},
        },
    )


def write(folder):
    return write_report(folder).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tables():
    return make_tables()


@pytest.fixture(scope="module")
def folder(tables, tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("results"), tables, figures=True)


@pytest.fixture(scope="module")
def page(folder):
    return write(folder)


def test_holds_everything_that_a_section_says(page, tables):
    text, section = Reader(page).text, QUESTION.describe(tables, SETTINGS)
    told = [section.verdict, section.rule, *section.answer, *section.explanation, *section.caveats]
    for sentence in (*told, QUESTION.asks, section.title):
        assert sentence in text, sentence
    for table in section.tables:
        for words in (table.title, table.note, *table.columns):
            assert words in text, words
    cells = re.findall(r"<td[^>]*>([^<]*)(?:<small>([^<]+)</small>)?</td>", page)
    shown = [entry for table in section.tables for row in table.rows for entry in row]
    assert len(shown) > 200
    for entry in shown:
        if entry is None:
            assert '<td class="none">' in page
        elif isinstance(entry, str):
            assert (entry, "") in cells, entry
        else:
            assert (entry.value, entry.interval) in cells, entry
    assert '<td class="clear">−0.050<small>−0.067 to −0.033</small></td>' in page  # noqa: RUF001


def test_the_contents_lead_to_every_part(page):
    reader = Reader(page)
    ids = Counter(reader.values("id"))
    assert max(ids.values()) == 1
    links = [value.removeprefix("#") for value in reader.values("href")]
    assert set(links) <= set(ids)
    assert links[0] == "divergence"
    assert {"absent", "measures", "nulls-meaning", "data", "capture"} <= set(links)
    assert set(reader.values("aria-labelledby")) <= set(ids)


def test_loads_nothing_and_runs_one_script_that_is_named_by_its_hash(page):
    reader = Reader(page)
    assert not {"link", "iframe", "object", "form"} & set(reader.tags)
    assert reader.tags.count("script") == 1
    script = re.search(r"<script>(.*?)</script>", page, flags=re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert not {"fetch", "XMLHttpRequest", "import(", "eval"} & set(re.findall(r"[\w(]+", script))
    for tag, name, value in reader.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("src", "href", "srcset"):
            assert value.startswith(("data:image/png;base64,", "#"))
    assert "default-src 'none'" in page
    style = page.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "http://" not in page
    assert "https://" not in page


def test_inlines_every_figure_with_alt_text_and_caption(page, folder, tables):
    captions = QUESTION.describe(tables, SETTINGS).captions
    sources = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    drawn = [folder.figure_path("divergence", name, "png") for name in captions]
    assert sources == [base64.b64encode(path.read_bytes()).decode() for path in drawn]
    assert Reader(page).values("alt") == [alt for _, alt in captions.values()]
    told = [html.unescape(c) for c in re.findall(r"<figcaption>(.+?)</figcaption>", page)]
    for number, (caption, (expected, _)) in enumerate(zip(told, captions.values(), strict=True), 1):
        assert caption == f"<b>Figure {number}.</b> {expected}"


def test_escapes_every_word_from_a_file(tmp_path):
    tables = make_tables()
    for column in ("head", "m1", "relatedness"):
        tables["pairs"][column] = EVIL
    folder = prepare(tmp_path, tables)
    folder.note_left_out("premise", EVIL)
    page = write(folder)
    assert page.count("<script") == 1  # ours
    assert "&lt;script&gt;" in page
    reader = Reader(page)
    assert reader.text.count(EVIL) > 60
    assert "no <b> token" in reader.text
    assert "The {modifier} <i>{head}." in reader.text


def test_same_results_same_bytes(page, folder, tables, tmp_path):
    assert write(folder) == page
    assert write(prepare(tmp_path, tables, figures=True)) == page
    assert str(folder.path) not in page


def test_what_was_asked_for_stands_beside_the_defaults(page):
    details = page.split('<details id="divergence-settings">')[1].split("</details>")[0]
    rows = re.findall(r"<tr( class=\"asked\")?><td>(\w+)</td><td>(.*?)</td><td>(.*?)</td>", details)
    told = {name: (value, default, bool(asked)) for asked, name, value, default in rows}
    assert told["draws"] == ("2", "1", True)
    assert told["seed"] == ("5", "0", True)
    assert told["resamples"] == ("300", "300", False)
    assert list(told) == list(SETTINGS)
    text = Reader(page).text
    for word in ("w" * 64, "p" * 64, "Q4_1", "matplotlib"):
        assert word in text


def test_measures_and_nulls_are_those_of_the_catalogue(page, folder):
    text = Reader(page).text
    for heading, meaning in define_figures().items():
        assert heading in text
        assert meaning in text
    for null in list_nulls():
        assert f"{null.meaning} Keeps {null.keeps}. Breaks {null.breaks}." in text
    told = {"keeps": "all toys", "breaks": "all games", "meaning": "Toys."}
    toy = Condition("toy_heads", "toy heads", "#000000", "o", **told)
    register_condition(toy)
    try:
        assert "<dt>Toy heads</dt>" in write(folder)
    finally:
        unregister_condition("toy_heads")
    assert write(folder) == page


def test_says_what_was_lost(page, tables, tmp_path):
    assert "1 sentence could not be aligned" in page
    folder = prepare(tmp_path, tables)
    templates = pd.DataFrame({"template_id": ["t0"], "text": ["The {modifier} <i>{head}."]})
    write_capture(folder, pd.DataFrame({"template_id": []}), templates)
    assert "nothing was lost" in write(folder)
    shutil.rmtree(folder.capture)
    assert "cannot be listed" in write(folder)


def test_one_kv_head_without_relatedness_figures_or_capture(tmp_path):
    tables = make_tables(n_kv_heads=1, relatedness=False, populations=("word pairs",))
    folder = prepare(tmp_path, tables, n_kv_heads=1)
    assert "a layer has one kv head, so there is no such null" in Reader(write(folder)).text
    shutil.rmtree(folder.capture)
    page = write(folder)
    assert '<p class="label">tiny</p>' in page
    assert page.count("<figure") == len(QUESTION.draw(tables))  # those that were missing are drawn
    assert '<th scope="col">words are</th>' not in page


def test_every_question_has_its_part_whether_or_not_the_headline_has(folder, tmp_path, monkeypatch):
    """Also one of another package; and a figure without a caption is named and shown."""
    monkeypatch.setattr("analyses.NAMES", (TOY, "divergence", "premise"))
    copy = ResultFolder(tmp_path / "copy")
    shutil.copytree(folder.path, copy.path)
    summary = pd.DataFrame({"word": ["a", EVIL], "value": [1.0, 2.0]})
    copy.write_tables("toy_question", {"summary": summary}, {"settings": {"shortest": 1}})
    monkeypatch.setattr(
        "tests.kvprobes.toy_question.figures.draw",
        lambda tables: {name: draw_toy(tables)["lengths"] for name in ("lengths", "unheard_of")},
    )
    both = write(copy)
    assert both.index('<section id="toy_question"') < both.index('<section id="divergence"')
    assert "The toy: unheard_of." in both
    assert "The words have 1.5 letters." in both
    assert both.count("<figure") == 2 + write(folder).count("<figure")
    shutil.rmtree(copy.path / "tables")
    copy.write_tables("toy_question", {"summary": summary}, {"settings": {"shortest": 1}})
    alone = write(copy)
    assert "The claim is a toy." in alone
    assert '<section id="divergence"' not in alone
    told = summarise(copy)
    assert list(told["answers"]) == ["toy_question"]
    assert told["answers"]["toy_question"]["verdict"] == "The claim is a toy."
    assert told["answers"]["toy_question"]["summary"][1] == {"word": EVIL, "value": 2.0}


def test_says_why_a_question_is_absent(tables, tmp_path):
    folder = prepare(tmp_path, tables)
    folder.note_left_out("nulls", "only 5 of 5 pairs can be compared.")
    premise = {"heads": tables["heads"]}
    other = {**INPUTS, "capture": "o" * 64, "settings": asdict(PremiseSettings())}
    folder.write_tables("premise", premise, other)
    folder.write_tables("meaning", premise, INPUTS)
    rewrite(folder.manifest_path("meaning"), lambda manifest: manifest.update(format=1))
    page = write(folder)
    absent = page.split('<section id="absent"')[1].split("</section>")[0]
    assert "only 5 of 5 pairs can be compared." in absent
    for words in (
        "of another capture than this folder's. <code>kvprobes analyse premise</code>",
        "of another version of kvprobes. <code>kvprobes analyse meaning</code>",
        "Not asked. <code>kvprobes analyse tying</code> asks it.",
    ):
        assert words in html.unescape(absent)
    for name in ("premise", "meaning"):
        assert f'<section id="{name}"' not in page
    assert absent.count("<dt>") == len(list_questions()) - 1
    assert set(summarise(folder)["absent"]) == {"nulls", "premise", "meaning"}


def test_the_first_screen_gives_the_answers_of_the_first_question_with_marks(
    folder, tmp_path, monkeypatch
):
    def describe(tables, settings):
        marks = (Mark("Is it so?", "yes", f"12 (10 to 14) {EVIL}"), Mark("Sure?", "undetermined"))
        maps = (HeadMap("Every head", ((0, 0, 1.0, EVIL), (0, 1, 2.0, "b"))),)
        scatters = (Scatter("Every pair", "x", "y", ((1.0, 2.0, EVIL),)),)
        return Section("Toy", marks=marks, maps=maps, scatters=scatters, verdict="It is so.")

    monkeypatch.setattr("analyses.NAMES", (TOY, "divergence"))
    monkeypatch.setattr("tests.kvprobes.toy_question.section.describe", describe)
    copy = ResultFolder(tmp_path / "copy")
    shutil.copytree(folder.path, copy.path)
    summary = pd.DataFrame({"word": ["a"], "value": [1.0]})
    copy.write_tables("toy_question", {"summary": summary}, {"settings": {"shortest": 1}})
    page = write(copy)
    first = page.split("<nav")[0]
    reader = Reader(page)
    assert first.index("<h1>") < first.index('class="mark yes"') < first.index("It is so.")
    assert "12 (10 to 14)" in first
    assert 'class="mark undetermined"' in first
    assert reader.values("data-told")[:3] == [EVIL, "b", EVIL]
    assert page.count("<script") == 1


def test_without_any_answer_it_says_what_to_run(tmp_path):
    with pytest.raises(StoreError, match="`kvprobes run`"):
        write_report(ResultFolder(tmp_path))
    assert not (tmp_path / "report.html").exists()


def test_a_folder_of_an_older_version_says_what_to_run(tables, tmp_path):
    folder = prepare(tmp_path, tables)
    rewrite(folder.manifest_path("divergence"), lambda manifest: manifest.update(format=1))
    with pytest.raises(StoreMismatchError, match="`kvprobes run`: they are computed again"):
        write_report(folder)


def test_a_damaged_capture_manifest_is_named(tables, tmp_path):
    folder = prepare(tmp_path, tables)
    (folder.capture / "manifest.json").write_text("{")
    with pytest.raises(StoreError, match=r"manifest\.json cannot be read"):
        write_report(folder)


def test_a_missing_null_is_no_error(tmp_path, tables):
    summary = drop_figures(tables["summary"], measure="key_dimension", condition="random_heads")
    assert "not the same null in every space" not in write(
        prepare(tmp_path, {**tables, "summary": summary})
    )
