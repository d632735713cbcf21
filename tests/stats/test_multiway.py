import pytest
import torch

from probes.errors import UsageError
from probes.stats import PairBootstrap, multiway_interval, multiway_variance
from tests.stats.test_estimates import weighted_mean

WORDS, NOUNS, PAIRS = 150, 60, 400


def make_minimal_pairs(random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Every noun has a few words of its own choice, and pairs among them."""
    choices = torch.rand(NOUNS, WORDS, generator=random).argsort(dim=1)[:, :8]
    noun = torch.randint(NOUNS, (PAIRS,), generator=random)
    first = torch.randint(8, (PAIRS,), generator=random)
    second = (first + torch.randint(1, 8, (PAIRS,), generator=random)) % 8
    return choices[noun, first], choices[noun, second], noun


@pytest.mark.parametrize(
    ("word_effect", "noun_effect", "noise"), [(0.7, 1.0, 1.0), (0.0, 1.0, 1.0), (1.0, 0.0, 0.5)]
)
def test_two_kinds_of_clusters_cover(word_effect: float, noun_effect: float, noise: float) -> None:
    random = torch.Generator().manual_seed(3)
    covered, alone = [], []
    for seed in range(4):
        left, right, noun = make_minimal_pairs(random)
        data_sets = 150
        effect = word_effect * torch.randn(data_sets, WORDS, generator=random)
        figures = effect[:, left] + effect[:, right]
        figures = figures + (noun_effect * torch.randn(data_sets, NOUNS, generator=random))[:, noun]
        figures = figures + noise * torch.randn(data_sets, PAIRS, generator=random)
        for head_noun, into in ((noun, covered), (None, alone)):
            bootstrap = PairBootstrap.draw(
                left, right, resamples=300, seed=seed, head_noun=head_noun
            )
            low, high = bootstrap.estimate(weighted_mean, figures).interval()
            into.append(((low <= 0) & (high >= 0)).double().mean())
    assert 0.91 < float(torch.stack(covered).mean()) < 0.98
    if noun_effect:  # words alone say too little
        assert float(torch.stack(alone).mean()) < float(torch.stack(covered).mean()) - 0.02


def test_the_variance_by_hand() -> None:
    steps = torch.tensor([[-1.0], [1.0]]).double()  # variance 2
    observed = torch.tensor([4.0]).double()
    scale = {"word": 3.0, "pair": 1.0, "noun": 2.0, "noun_word": 2.5}
    samples = {f"{name}_samples": s**0.5 * steps for name, s in scale.items()}
    # 2 (3 + 2 - 2.5); words alone 2 (3 - 2) and nouns alone 4 are less
    assert float(multiway_variance(observed, **samples)) == pytest.approx(5)
    low, high = multiway_interval(observed, **samples, level=0.5)
    assert (float(low), float(high)) == pytest.approx((4 - 2.5**0.5, 4 + 2.5**0.5))
    samples["noun_word_samples"] = 10 * steps
    assert float(multiway_variance(observed, **samples)) == pytest.approx(4)
    samples["noun_samples"] = 0.1 * steps
    assert float(multiway_variance(observed, **samples)) == pytest.approx(2)


def test_weights_of_nouns_and_of_words_within_nouns() -> None:
    left, right = torch.tensor([0, 0, 1, 2]), torch.tensor([1, 2, 0, 1])
    noun = torch.tensor([9, 9, 4, 4])
    drawn = PairBootstrap.draw(left, right, resamples=400, seed=0, head_noun=noun)
    plain = PairBootstrap.draw(left, right, resamples=400, seed=0)
    assert torch.equal(drawn.word_weights, plain.word_weights)
    assert torch.equal(drawn.own_weights, plain.own_weights)
    # The first and the third row hold the same words: one pair.
    assert torch.equal(drawn.own_weights[:, 0], drawn.own_weights[:, 2])
    assert not torch.equal(drawn.own_weights[:, 0], drawn.own_weights[:, 1])
    nouns = drawn.noun_weights
    assert nouns is not None
    assert torch.equal(nouns[:, 0], nouns[:, 1])
    assert torch.equal(nouns[:, 2], nouns[:, 3])
    assert bool((nouns[:, 0] + nouns[:, 2] == 2).all())
    assert drawn.noun_word_weights is not None
    assert drawn.noun_word_weights.shape == (200, 4)


def test_a_word_under_another_noun_is_another_word() -> None:
    others = torch.arange(3, 203)
    left = torch.cat([torch.tensor([0, 0, 0, 0]), others])
    right = torch.cat([torch.tensor([1, 2, 1, 2]), others + 200])
    noun = torch.cat([torch.tensor([9, 9, 4, 4]), torch.full((200,), 5)])
    drawn = PairBootstrap.draw(left, right, resamples=8000, seed=0, head_noun=noun)
    assert drawn.noun_word_weights is not None
    covariance = drawn.noun_word_weights.T.cov()
    # Of counts near Poisson(1): a shared word gives E[w^2] - 1 = 1, the same pair E[w^2]^2 - 1 = 3.
    assert float(covariance[0, 0]) == pytest.approx(3, abs=0.7)
    assert float(covariance[0, 1]) == pytest.approx(1, abs=0.35)
    assert float(covariance[0, 2]) == pytest.approx(0, abs=0.35)  # same words, other noun


def test_estimates_with_nouns_derive_and_refuse() -> None:
    random = torch.Generator().manual_seed(0)
    left, right, noun = make_minimal_pairs(random)
    figures = torch.randn(2, PAIRS, generator=random)
    with_nouns = PairBootstrap.draw(left, right, resamples=20, seed=0, head_noun=noun)
    without = PairBootstrap.draw(left, right, resamples=20, seed=0)
    estimate = with_nouns.estimate(weighted_mean, figures)
    doubled = estimate.map(lambda t: 2 * t)
    torch.testing.assert_close(doubled.standard_error(), 2 * estimate.standard_error())
    assert float((estimate - estimate).standard_error().abs().max()) == 0
    with pytest.raises(UsageError, match="one PairBootstrap"):
        estimate - without.estimate(weighted_mean, figures)
    with pytest.raises(UsageError, match="noun samples hold 1"):
        multiway_variance(
            estimate.observed,
            estimate.by_word,
            estimate.by_pair,
            estimate.by_word[:1],
            estimate.by_word,
        )
