"""The report holds the answer, escapes what it is given, and loads nothing."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
from html.parser import HTMLParser

import pandas as pd
import pytest

from analyses.divergence.section import answer, verdict
from analyses.divergence.compute import draw
from kvprobes.report.page import write_report
from kvprobes.results import ResultFolder
from probes.errors import StoreError
from tests.analyses.tables import drop_figures, make_tables

EVIL = "<script>alert(1)</script>"
VOID = {"meta", "img", "br", "link", "input", "hr"}
INPUTS = {
    "capture": "c" * 64,
    "pairs": "p" * 64,
    "settings": {"resamples": 300, "draws": 2, "all_pairs": 6000, "bins": 20, "seed": 5},
}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that tags nest."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.open, self.text = [], [], [], ""
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def prepare(path, tables, *, figures=False, capture=True):
    folder = ResultFolder(path)
    folder.write_tables("divergence", tables, inputs=INPUTS)
    if figures:
        folder.write_figures("divergence", draw(tables))
    if capture:
        folder.capture.mkdir(parents=True)
        (folder.capture / "manifest.json").write_text(
            json.dumps(
                {
                    "model": EVIL,
                    "geometry": {"n_heads": 6, "n_kv_heads": 2},
                    "identity": {"weights": "w" * 64},
                    "origin": {"precision": "Q4_1"},
                }
            )
        )
        names = ["template_id", "modifier", "head", "sentence", "reason"]
        losses = pd.DataFrame([["t0", EVIL, "h", "s", "no <b> token"]], columns=names)
        losses.to_parquet(folder.capture / "losses.parquet")
        templates = pd.DataFrame({"template_id": ["t0"], "text": ["The {modifier} <i>{head}."]})
        templates.to_parquet(folder.capture / "templates.parquet")
    return folder


def read(path):
    return Reader(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tables():
    return make_tables()


@pytest.fixture(scope="module")
def folder(tables, tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("results"), tables, figures=True)


@pytest.fixture(scope="module")
def page(folder):
    return write_report(folder).read_text(encoding="utf-8")


def test_holds_verdict_answer_and_its_numbers(page, tables):
    text = Reader(page).text
    summary = tables["summary"]
    assert len(answer(summary)) > 3
    for sentence in (verdict(summary), *answer(summary)):
        assert sentence in text
    cells = re.findall(r"<td[^>]*>([^<]+)(?:<small>([^<]+)</small>)?</td>", page)
    for number in ("0.10", "0.15", "0.20", "−0.050", "−0.100", "0.500"):  # noqa: RUF001
        assert number in [value for value, _ in cells], number
    assert ("−0.050", "−0.067 to −0.033") in cells  # noqa: RUF001


def test_loads_nothing_and_runs_nothing(page):
    reader = Reader(page)
    assert not {"script", "link", "iframe", "object", "form"} & set(reader.tags)
    for tag, name, value in reader.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("src", "href", "srcset"):
            assert value.startswith(("data:image/png;base64,", "#"))
    style = page.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "http://" not in page
    assert "https://" not in page


def test_inlines_every_figure_with_alt_text_and_caption(page, folder):
    sources = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    drawn = [folder.figure_path("divergence", n, "png") for n in ("headline", "curve", "maps")]
    for path in drawn:
        assert base64.b64encode(path.read_bytes()).decode() in sources
    assert len(sources) == 4
    alts = [value for _, name, value in Reader(page).attributes if name == "alt"]
    assert len(set(alts)) == 4
    assert min(len(alt) for alt in alts) > 60
    captions = re.findall(r"<figcaption>(.+?)</figcaption>", page)
    assert sum("300 resamples of the words" in c for c in captions) == 3
    for caption in captions:
        assert "Mismatched heads:" in caption
        assert "2 for each trained head" in caption
    assert "60 word pairs of 120 words" in html.unescape(captions[0])
    assert "6,000 random pairs" in captions[0]


def test_escapes_every_word_from_a_file(tmp_path):
    tables = make_tables()
    for column in ("head", "m1", "relatedness"):
        tables["pairs"][column] = EVIL
    for name in ("summary", "heads", "curve"):
        tables[name]["model"] = EVIL
    page = write_report(prepare(tmp_path, tables)).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    reader = Reader(page)
    assert reader.text.count(EVIL) > 60
    assert "no <b> token" in reader.text
    assert "The {modifier} <i>{head}." in reader.text


def test_same_results_same_bytes(page, folder, tables, tmp_path):
    assert write_report(folder).read_text(encoding="utf-8") == page
    other = prepare(tmp_path, tables, figures=True)
    assert write_report(other).read_text(encoding="utf-8") == page
    assert str(folder.path) not in page


def test_lists_the_most_and_least_dissociating_pairs(page, tables):
    rows = re.findall(r'<td class="word">(\w+) / (\w+)</td>', page)
    pairs = tables["pairs"]
    both = [pairs.nlargest(15, "dissociation"), pairs.nsmallest(15, "dissociation")]
    ordered = pd.concat(both)[["m1", "m2"]]
    assert rows == list(ordered.itertuples(index=False, name=None))


def test_names_provenance(page):
    text = Reader(page).text
    for word in ("w" * 64, "c" * 64, "p" * 64, "Q4_1", "matplotlib", "seed"):
        assert word in text


def test_warns_that_random_heads_differ_by_space(page, tables, tmp_path):
    warning = "Random heads are not the same null in every space."
    assert warning in page
    assert "an effective 4.7 directions, against 30.3 in the centred space" in page
    summary = drop_figures(tables["summary"], measure="key_dimension", condition="random")
    other = prepare(tmp_path, {**tables, "summary": summary})
    assert warning not in write_report(other).read_text(encoding="utf-8")


def test_says_what_was_lost(page, tables, tmp_path):
    assert "1 sentence could not be aligned" in page
    folder = prepare(tmp_path, tables)
    pd.DataFrame({"template_id": []}).to_parquet(folder.capture / "losses.parquet")
    assert "nothing was lost" in write_report(folder).read_text(encoding="utf-8")
    shutil.rmtree(folder.capture)
    assert "cannot be listed" in write_report(folder).read_text(encoding="utf-8")


def test_one_kv_head_without_relatedness_figures_or_capture(tmp_path):
    tables = make_tables(n_kv_heads=1, relatedness=False, populations=("word pairs",))
    reader = read(write_report(prepare(tmp_path, tables, capture=False)))
    assert "No figures have been drawn." in reader.text
    assert "one kv head a layer, so there is no such null" in reader.text
    assert "words are" not in reader.text


def test_shows_the_founding_example_if_it_was_analysed(folder, page, tmp_path):
    assert "The founding example" not in page
    copy = ResultFolder(tmp_path / "copy")
    shutil.copytree(folder.path, copy.path)
    summary = pd.DataFrame(
        {
            "model": "tiny",
            "head_word": "network",
            "measure": ["attention", "key_percentile"],
            "word": ["neural", None],
            "population": ["compounds", "word pairs"],
            "space": [None, "functional"],
            "value": [0.1234, 61.26],
            "expected": [0.2, 50.0],
            "percentile": [12.34, 70.0],
            "others": [591, 308],
        }
    )
    settings = {"head": "network", "first": "neural", "second": EVIL}
    copy.write_tables("attention_example", {"summary": summary}, inputs={"settings": settings})
    png = folder.figure_path("divergence", "curve", "png").read_bytes()
    for name in ("attention", "unheard_of"):
        copy.figure_path("attention_example", name, "png").write_bytes(png)
    written = write_report(copy).read_text(encoding="utf-8")
    assert f"The founding example: network, neural and {html.escape(EVIL)}" in written
    assert written.count("<figure") == 6
    assert "Figure 6." in written
    assert "attention_example: unheard_of." in written
    for number in ("0.123", "12.3", "591", "61.3"):
        assert f"<td>{number}</td>" in written
    assert '<td class="word">key percentile</td>' in written


def test_without_the_analysis_it_says_what_to_run(tmp_path):
    with pytest.raises(StoreError, match="kvprobes"):
        write_report(ResultFolder(tmp_path))
    assert not (tmp_path / "report.html").exists()


def test_a_damaged_capture_manifest_is_named(tables, tmp_path):
    folder = prepare(tmp_path, tables)
    (folder.capture / "manifest.json").write_text("{")
    with pytest.raises(StoreError, match=r"manifest\.json cannot be read"):
        write_report(folder)


def test_pairs_that_repeat_both_words_are_counted(tmp_path):
    tables = make_tables()

    def read(name):
        return write_report(prepare(tmp_path / name, tables)).read_text(encoding="utf-8")

    tables["pairs"]["m1"] = [f"first{n}" for n in range(len(tables["pairs"]))]
    assert "measure the same again" not in read("distinct")
    pairs = tables["pairs"]
    pairs.loc[1, ["m1", "m2"]] = pairs.loc[0, ["m2", "m1"]].to_numpy()
    assert "the 1 pairs that have both words in common" in read("repeated")
