"""Topics are WordNet's fields; words without one are alone."""

from probes.words.topics import number_topics


def test_words_of_a_field_share_a_topic():
    names = ["hammer", "neural", "social", "saw", "qwertz", "dog", "cat", "hotel", "unheard"]
    topics = dict(zip(names, number_topics(names).tolist(), strict=True))
    assert topics["dog"] == topics["cat"]
    assert topics["hammer"] == topics["hotel"]  # artifacts both
    assert topics["hammer"] != topics["dog"]
    alone = [topics[name] for name in ("neural", "qwertz", "unheard")]
    assert len({*alone, topics["dog"], topics["hammer"]}) == 5
    assert number_topics(names).max() < len(names)
