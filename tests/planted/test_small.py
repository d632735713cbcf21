"""A small model does what its design says, and the truth is what follows from it."""

import numpy as np
import pytest
import torch

from probes.errors import UsageError
from probes.models.load import load_model
from probes.planted.design import GROUP, N_HEADS, N_KV_HEADS, SOUGHT, Design, Planting
from probes.planted.small import D_HEAD, save_planted
from probes.planted.truth import tell_truth

WORDS = tuple(f"word{letter}{other}" for letter in "abcdefgh" for other in "abcdefgh")
SENTENCE = "They saw the wordab and the wordcd wordef"
WANTED = Planting(0.5, common=100.0, others="at random")
OTHERS = (6, 7, 9)


@pytest.fixture(scope="module")
def design():
    return Design.draw(WANTED, WORDS, seed=1)


@pytest.fixture(scope="module")
def model(design, tmp_path_factory):
    folder = save_planted(design, [SENTENCE, "a"], tmp_path_factory.mktemp("planted"))
    return load_model(str(folder))


@pytest.mark.parametrize("layer", [0, 1])
def test_heads_attend_as_designed(model, design, layer):
    """Each weight is the softmax over the two words, the asking one, the sink and what is empty."""
    with torch.no_grad():
        model.hf.set_attn_implementation("eager")
        inputs = model.tokenizer(SENTENCE, return_tensors="pt")
        weights = model.hf(**inputs, output_attentions=True).attentions[layer][0, :, -1]
    tokens = model.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
    places = [tokens.index(word) for word in ("wordab", "wordcd", "wordef")]
    hidden = design.hidden[[WORDS.index(tokens[place]) for place in places]].double()
    for query_head in range(N_KV_HEADS * GROUP):
        head = layer * N_KV_HEADS + query_head // GROUP
        group = query_head % GROUP
        q = hidden[2] @ design.query_map[head, group].double()
        logits = torch.zeros(len(tokens), dtype=torch.float64)
        logits[places] = hidden @ design.key_map[head].double() @ q / D_HEAD**0.5
        logits[0] = hidden[2] @ design.sink_map[head, group].double()
        torch.testing.assert_close(
            weights[query_head].double(), logits.softmax(0), rtol=5e-3, atol=1e-6
        )


def test_truth_of_planted_and_other_heads(design):
    found = tell_truth(design, WORDS[:20], WORDS[20:], OTHERS, n_pairs=300)
    planted = design.planted.numpy()
    assert planted.sum() == N_HEADS / 2
    # The smaller class is further from the mean, so its pairs have the largest cosines; then
    # come those of the class that is sought, which these heads attend to.
    middle = 100 * (1 - (1 - SOUGHT) ** 2 - SOUGHT**2 / 2)
    np.testing.assert_allclose(found.key_percentile[planted], middle, atol=8)
    np.testing.assert_allclose(found.key_percentile[planted].mean(), middle, atol=4)
    np.testing.assert_allclose(found.key_percentile[~planted], 50, atol=3)
    np.testing.assert_allclose(found.value_percentile[~planted], 50, atol=4)
    assert (found.key_gap[planted] < found.key_gap[~planted] / 3).all()


def test_truth_of_scale_and_of_values_that_are_keys():
    small = Design.draw(Planting(0.0, key_scale=0.02), WORDS, seed=1)
    usual = Design.draw(Planting(0.0), WORDS, seed=1)
    one, other = (tell_truth(made, WORDS[:9], WORDS[9:], OTHERS) for made in (small, usual))
    np.testing.assert_allclose(one.key_gap / other.key_gap, 0.02, rtol=0.1)
    same = Design.draw(Planting(1.0, values="keys"), WORDS, seed=1)
    found = tell_truth(same, WORDS[:9], WORDS[9:], OTHERS)
    np.testing.assert_allclose(found.key_percentile, found.value_percentile, atol=3)


def test_attending_by_keys_alone_makes_keys_alike():
    """The mechanical part, and that a sink takes it away."""
    truth = {
        others: tell_truth(
            Design.draw(Planting(0.0, others=others), WORDS, seed=1), WORDS[:20], WORDS[20:], OTHERS
        ).key_percentile.mean()
        for others in ("by key", "at random")
    }
    assert 52 < truth["by key"] < 55
    assert abs(truth["at random"] - 50) < 1


def test_a_share_outside_of_all_is_refused():
    with pytest.raises(UsageError, match="share is 2"):
        Planting(2.0)
