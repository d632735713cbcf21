import pytest
import torch

from probes.errors import UsageError
from probes.reading import read
from probes.similarity.spaces import to_space
from tests.reading.readings import LOWER, SENTENCES, WORDS, read_many
from tests.tiny import tiny_model


def test_it_shows_itself_in_a_line_and_in_a_notebook():
    words = read_many()
    assert repr(words) == (
        f"Words({len(LOWER)} words, {2 * len(LOWER)} occurrences, 2 layers x 2 kv heads of "
        "tiny-llama-0, projected keys)"
    )
    assert f"and {2 * len(LOWER) - 10} more" in words._repr_html_()


@pytest.mark.parametrize("space", ["raw", "centred", "functional"])
def test_a_space_is_that_of_the_library_within_each_template(space):
    words = read_many("qwen3")
    group = torch.tensor([0] * len(LOWER) + [1] * len(LOWER))
    for part, vectors, metrics in (
        ("keys", words.k, words.key_metric),
        ("values", words.v, words.value_metric),
    ):
        found = getattr(words, part)(1, space)
        expected = to_space(vectors[1].transpose(0, 1), space, metric=metrics[1], templates=group)
        torch.testing.assert_close(found, expected)


def test_words_that_stand_in_every_group_have_a_row_a_group_which_is_a_mean():
    table = {
        "sentence": ["The black fox and black dog", "The black fox", "A red dog is red"],
        "word": ["black", "black", "red"],
        "start": [4, 4, 2],
        "end": [9, 9, 5],
        "group": ["one", "two", "one"],
    }
    import pandas as pd

    frame = pd.DataFrame(table)
    frame = pd.concat([frame, frame[:1].assign(start=18, end=23)], ignore_index=True)
    words = read(tiny_model(), frame)
    names, rows = words.locate()
    assert names == ("black",)  # "red" is in one group only
    assert rows.tolist() == [[0, 1]]
    gathered = words.gather(words.keys(0))
    by_hand = torch.stack([words.k[0][[0, 3]].mean(0), words.k[0][1]], 1)
    torch.testing.assert_close(gathered, by_hand)


def test_what_is_missing_is_said():
    words = read(tiny_model(), SENTENCES, WORDS)
    assert words.list_spaces() == ("raw",)
    with pytest.raises(UsageError, match=r"3 different words are in one group.*needs 10"):
        words.keys(0, "centred")
    with pytest.raises(UsageError, match=r"no layer 2: layers are 0 to 1"):
        words.values(2)
    with pytest.raises(UsageError, match=r"no space 'centered'. Did you mean 'centred'"):
        words.keys(0, "centered")
    with pytest.raises(UsageError, match=r"no word that was read 'smal'"):
        words.find("smal")
    assert words.find("small").tolist() == [1, 3]
