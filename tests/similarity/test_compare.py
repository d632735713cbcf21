import torch

from probes.similarity.compare import PairComparison, compare_pairs


def test_comparison_is_the_mean_over_templates_of_single_pairs():
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(2, 9, 3, generator=generator)
    values = torch.randn(2, 9, 5, generator=generator)
    left = torch.tensor([[0, 4], [1, 5], [2, 6]])
    right = torch.tensor([[3, 7], [0, 4], [8, 5]])
    result = compare_pairs(keys, values, left, right)
    for head in range(2):
        for pair in range(3):
            for name, vectors in (("k", keys), ("v", values)):
                sides = [
                    (vectors[head, i], vectors[head, j])
                    for i, j in zip(left[pair], right[pair], strict=True)
                ]
                cosine = sum(torch.cosine_similarity(a, b, dim=0) for a, b in sides) / 2
                distance = sum((a - b).norm() for a, b in sides) / 2
                torch.testing.assert_close(getattr(result, f"s_{name}")[head, pair], cosine)
                torch.testing.assert_close(getattr(result, f"d_{name}")[head, pair], distance)


def test_mismatched_joins_each_key_head_with_every_other_value_head():
    k = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    comparison = PairComparison(s_k=k, s_v=k + 100, d_k=k, d_v=k + 100)
    joined = comparison.mismatched()
    assert joined is not None
    assert joined.s_k.shape == (2, 6, 4)
    for layer in range(2):
        got = {
            (int(a[0]) // 4 % 3, (int(b[0]) - 100) // 4 % 3)
            for a, b in zip(joined.s_k[layer], joined.s_v[layer], strict=True)
        }
        assert got == {(a, b) for a in range(3) for b in range(3) if a != b}


def test_one_kv_head_has_no_mismatch():
    k = torch.randn(2, 1, 4)
    assert PairComparison(k, k, k, k).mismatched() is None
