"""The shipped tables are what PROVENANCE.json says, pass the schema and keep their promises."""

import json
import re
from collections import Counter

import pytest

from probes.files import hash_file
from probes.words import data_folder, load_pairs, load_templates, read_table

DATA = data_folder()
TABLES = sorted(path.name for path in DATA.glob("*.tsv"))
PROVENANCE = json.loads((DATA / "PROVENANCE.json").read_text())["tables"]
TEXTS = json.loads((DATA / "PROVENANCE.json").read_text())["texts"]


def blocked() -> tuple[set[str], set[str]]:
    """Read the blocklist again: the words blocked everywhere, and those before people."""
    everywhere: set[str] = set()
    people: set[str] = set()
    for line in (DATA / "builder" / "blocklist.txt").read_text().splitlines():
        words = re.sub("#.*", "", line).split()
        (people if "@people" in words else everywhere).update(words)
    return everywhere, people - {"@people"}


@pytest.mark.parametrize("name", TABLES)
def test_provenance_tells_each_table(name: str) -> None:
    entry = PROVENANCE[name]
    assert entry["sha256"] == hash_file(DATA / name)
    assert entry["rows"] == len(read_table(DATA / name))
    assert entry["sources"]
    for source in entry["sources"]:
        if isinstance(source, dict):
            assert re.fullmatch("[0-9a-f]{64}", source["sha256"])
            assert {"package", "version", "registry", "licence", "used"} <= set(source)


def test_provenance_tells_each_text() -> None:
    files = {path.relative_to(DATA).as_posix() for path in DATA.glob("text/*/*")}
    assert set(TEXTS["files"]) == files
    for name, digest in TEXTS["files"].items():
        assert hash_file(DATA / name) == digest
        text = (DATA / name).read_text(encoding="utf-8")
        assert text.endswith("\n")
        assert "\n" not in text[:-1]
        assert 1000 < len(text) <= 5001


def test_every_table_is_told_and_every_source_has_its_licence() -> None:
    assert sorted(PROVENANCE) == TABLES
    licences = " ".join(path.read_text() for path in sorted((DATA / "LICENSES").iterdir()))
    for needed in (
        "WordNet 3.1 Copyright 2011",
        "Carnegie Mellon",
        "AIDungeon",
        "PDDL",
        "GRAYPE",
        "CC0",
    ):
        assert needed in licences


def test_compound_pairs_are_balanced_and_hold_the_founding_pairs() -> None:
    pairs = load_pairs("compound_pairs")
    founding = pairs[pairs["source1"] == "seed"]
    words = sorted(founding[["head", "m1", "m2"]].itertuples(index=False, name=None))
    assert words == [("dog", "guide", "hot"), ("network", "neural", "social")]
    counts = Counter(pairs.drop(founding.index)["relatedness"])
    assert counts == {"related": 2000, "mid": 2000, "unrelated": 2000}
    assert pairs["pair_id"].is_monotonic_increasing


def test_bins_follow_from_the_two_measures() -> None:
    pairs = load_pairs("compound_pairs")
    cosine, wup = pairs["glove_cos"], pairs["wup"]
    related = (cosine >= 0.5) | ((cosine >= 0.35) & (wup >= 0.75))
    unrelated = (cosine < 0.2) & (wup < 0.35)
    assert (related == (pairs["relatedness"] == "related")).all()
    assert (unrelated == (pairs["relatedness"] == "unrelated")).all()
    assert wup.between(0, 1).all()
    assert pairs["lin"].between(0, 1).all()


def test_bins_match_in_frequency_gap_and_association() -> None:
    pairs = load_pairs("compound_pairs")
    pairs = pairs[pairs["source1"] != "seed"]
    gap = (pairs["z_m1"] - pairs["z_m2"]).abs()
    assert gap.max() <= 1.0 + 1e-9
    steps = (gap.round(2) * 10).astype(int).groupby(pairs["relatedness"]).value_counts().unstack()
    assert (steps.nunique() == 1).all()  # every bin has as many pairs of each gap
    association = (pairs["pmi1"] + pairs["pmi2"]).groupby(pairs["relatedness"]).mean() / 2
    assert association.max() - association.min() < 0.15
    assert (pairs[["z_m1", "z_m2"]] >= 3).all(axis=None)
    assert (pairs[["pmi1", "pmi2"]] >= 1).all(axis=None)


def test_no_head_is_in_two_splits_not_even_as_its_plural() -> None:
    splits = load_pairs("compound_pairs").groupby("head")["split"].agg(set)
    assert all(len(found) == 1 for found in splits)
    assert set().union(*splits) == {"train", "dev", "test"}
    for head, found in splits.items():
        assert splits.get(f"{head}s", found) == found
    shares = Counter(load_pairs("compound_pairs")["split"])
    assert 0.15 < shares["test"] / shares.total() < 0.27
    assert 0.06 < shares["dev"] / shares.total() < 0.15


def test_no_word_is_overused() -> None:
    pairs = load_pairs("compound_pairs")
    uses = Counter([*pairs["m1"], *pairs["m2"]])
    assert max(uses.values()) <= 13  # twelve, and a founding pair's
    assert max(Counter(zip(pairs["head"], pairs["relatedness"], strict=True)).values()) <= 5


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("compound_pairs", ["head", "m1", "m2"]),
        ("relations", ["w1", "w2", "unrelated_control_for_w2"]),
        ("seed_pairs", ["head", "m1", "m2"]),
    ],
)
def test_no_blocked_word_is_in_a_table(name: str, columns: list[str]) -> None:
    frame = read_table(DATA / f"{name}.tsv")
    everywhere, people = blocked()
    assert len(everywhere) > 300
    assert {"black", "white"} <= people
    assert not everywhere & set(frame[columns].to_numpy().ravel())
    if name == "compound_pairs":
        persons = {"man", "woman", "people", "person", "boy", "girl", "kid", "guy", "folk"}
        of_people = frame[frame["head"].isin(persons)]
        assert len(of_people)
        assert not people & set(of_people[["m1", "m2"]].to_numpy().ravel())


def test_relations_and_their_controls() -> None:
    numeric = ("zlm1", "zlm2", "zlm_ctl", "path", "wup")
    frame = read_table(DATA / "relations.tsv", numeric=numeric)
    assert len(frame) > 8000
    kinds = {"antonym", "cohyponym", "hypernym", "meronym", "similar", "synonym"}
    assert set(frame["relation"]) == kinds
    assert set(frame["pos"]) == {"n", "v", "a"}
    assert not frame.duplicated(["relation", "pos", "w1", "w2"]).any()
    assert (frame["w1"] != frame["w2"]).all()
    control = frame["unrelated_control_for_w2"]
    has = control != ""
    assert has.mean() > 0.9
    assert ((frame["zlm2"] - frame["zlm_ctl"]).abs()[has] <= 0.1 + 1e-9).all()
    assert ((frame["w2"].str.len() - control.str.len()).abs()[has] <= 2).all()
    assert (control != frame["w1"]).all()
    assert frame["wup"].notna().equals(frame["pos"] == "n")


def test_seed_pairs() -> None:
    pairs = load_pairs("seed_pairs")
    assert 90 <= len(pairs) <= 130
    first = pairs[["head", "m1", "m2"]].head(2).to_numpy().tolist()
    assert first == [["network", "neural", "social"], ["dog", "guide", "hot"]]
    assert set(pairs["relatedness"]) == {"related", "mid", "unrelated"}


def test_templates() -> None:
    frame = load_templates()
    assert len(frame) >= 10
    assert frame.loc[0, "template_id"] == "t00"
    assert frame.loc[0, "text"] == "They talked about the {modifier} {head} for a while."
    assert frame["text"].str.contains("{modifier} {head}", regex=False).all()
    assert frame["text"].str.contains("{a} {modifier}", regex=False).sum() >= 2
    assert list(frame["position"].head(3)) == ["middle", "early", "late"]
    assert frame["text"].is_unique


def test_chinese_pairs() -> None:
    pairs = load_pairs("compound_pairs_zh")
    columns = ["pair_id", "head", "m1", "m2", "relatedness", "english", "note"]
    assert list(pairs.columns) == columns
    assert list(pairs["pair_id"]) == [f"zh{row:03d}" for row in range(len(pairs))]
    assert pairs.loc[0, ["head", "m1", "m2"]].tolist() == ["网络", "神经", "社交"]
    assert pairs.loc[0, "english"] == "neural network / social network"
    assert pairs.loc[0, "relatedness"] == "unrelated"
    assert Counter(pairs["relatedness"]) == {"unrelated": 21, "related": 21, "mid": 22}
    assert (pairs["m1"] < pairs["m2"])[1:].all()
    words = pairs[["head", "m1", "m2"]].to_numpy().ravel()
    assert all(re.fullmatch("[\u4e00-\u9fff]{2}", word) for word in words)
    assert max(Counter(pairs["head"]).values()) <= 4
    assert pairs["english"].str.fullmatch(r"[A-Za-z ]+ / [A-Za-z ]+").all()
    assert load_pairs("compound_pairs_zh", limit=1).loc[0, "pair_id"] == "zh000"


def test_chinese_pairs_say_the_same_english_for_the_same_compound() -> None:
    said: dict[str, set[str]] = {}
    for row in load_pairs("compound_pairs_zh").itertuples():
        for modifier, english in zip((row.m1, row.m2), row.english.split(" / "), strict=True):
            said.setdefault(modifier + row.head, set()).add(english)
    assert {compound: words for compound, words in said.items() if len(words) > 1} == {}


def test_chinese_templates() -> None:
    frame = load_templates("templates_zh")
    assert list(frame.columns) == list(load_templates().columns)
    assert list(frame["template_id"]) == [f"z{row:02d}" for row in range(6)]
    assert frame.loc[0, "text"] == "他们讨论了{modifier}{head}的问题。"
    assert frame["text"].str.contains("{modifier}{head}", regex=False).all()
    assert list(frame["position"].head(3)) == ["middle", "early", "late"]
    assert Counter(frame["position"]) == {"early": 2, "middle": 2, "late": 2}
    assert frame["text"].is_unique
