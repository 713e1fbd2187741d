"""What neighbouring tokens tell by correlation: exact where the truth is known, and harmless where little is."""

import numpy as np
import pytest
import torch

from spikeloom.priors.linear import LinearPrediction

LENGTH, VALUES = 12, 2


def process(n: int, seed: int = 0) -> torch.Tensor:
    """Tokens of a stationary Gaussian process whose two values have different memories, and are mixed."""
    draw = torch.Generator().manual_seed(seed)
    memory = torch.tensor([0.9, 0.5])
    x = torch.randn((n, 1, VALUES), generator=draw)
    tokens = [x]
    for _ in range(LENGTH - 1):
        x = memory * x + (1 - memory**2).sqrt() * torch.randn(x.shape, generator=draw)
        tokens.append(x)
    return torch.cat(tokens, 1) @ torch.tensor([[1.0, 0.3], [-0.2, 0.7]])


def covariance(distance: int) -> np.ndarray:
    mix = np.array([[1.0, 0.3], [-0.2, 0.7]])
    return mix.T @ np.diag(np.array([0.9, 0.5]) ** distance) @ mix


@pytest.fixture(scope="module")
def fitted() -> LinearPrediction:
    prediction, tokens = LinearPrediction(VALUES, 3), process(20_000)
    prediction.fit(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool))
    return prediction


@pytest.mark.parametrize(("left", "right"), [(0, 0), (1, 0), (0, 2), (1, 1), (3, 2)])
def test_it_is_the_mean_of_the_conditional_gaussian(fitted, left, right):
    near = [-left] * bool(left) + [right] * bool(right)
    expected = np.zeros((2 * VALUES, VALUES))
    if near:
        among = np.block([[covariance(abs(a - b)) for b in near] for a in near])
        to_it = np.vstack([covariance(abs(a)) for a in near])
        expected[VALUES * (not left) : VALUES * (1 + bool(right))] = np.linalg.solve(among, to_it)
    np.testing.assert_allclose(fitted.weights[left * 4 + right].numpy(), expected, atol=0.03)


def test_the_nearest_known_tokens_count_within_reach(fitted):
    known = torch.zeros((1, LENGTH), dtype=torch.bool)
    known[0, [1, 6]] = True
    case, *_ = fitted.cases(known)
    # token 0 has one on its right; 2 to 4 both, if not too far; 10 and 11 none within three tokens
    assert [divmod(int(c), 4) for c in case[0]] == [
        (0, 1), (0, 0), (1, 0), (2, 3), (3, 2), (0, 1), (0, 0), (1, 0), (2, 0), (3, 0), (0, 0), (0, 0)
    ]  # fmt: skip
    tokens = process(1, seed=3)
    predicted = fitted(tokens, known)
    np.testing.assert_allclose(
        predicted[0, 3], tokens[0, 1] @ fitted.weights[11, :2] + tokens[0, 6] @ fitted.weights[11, 2:], rtol=1e-4
    )
    hidden = tokens.masked_fill(~known[..., None], 1e6)
    torch.testing.assert_close(fitted(hidden, known)[~known], predicted[~known])


def test_few_trials_are_not_overfitted():
    """Predictions from few pairs of many values help on new trials, or do next to no harm."""
    draw = torch.Generator().manual_seed(0)
    for n in (30, 200):
        noise = torch.randn((n, 3, 40), generator=draw)
        prediction = LinearPrediction(40, 2)
        prediction.fit(noise, torch.ones((n, 3), dtype=torch.bool))
        new = torch.randn((500, 3, 40), generator=draw)
        known = torch.tensor([[True, False, True]]).expand(500, 3)
        assert prediction(new, known)[:, 1].square().mean() < 0.25


def test_too_few_tokens_leave_it_untouched():
    prediction = LinearPrediction(8, 2)
    prediction.fit(torch.randn(2, 3, 8), torch.ones((2, 3), dtype=torch.bool))
    assert not prediction.weights.any()


def test_tokens_that_are_not_whole_teach_nothing():
    tokens = process(400)
    whole = torch.ones(tokens.shape[:2], dtype=torch.bool)
    whole[:, 9:] = False
    a, b = LinearPrediction(VALUES, 2), LinearPrediction(VALUES, 2)
    a.fit(tokens, whole)
    b.fit(torch.where(whole[..., None], tokens, 1e4), whole)
    torch.testing.assert_close(a.weights, b.weights)


def test_trials_that_are_not_stationary_are_predicted_no_worse_than_by_their_mean():
    """Tokens that swing up in the middle of short trials: averages over places do not go together there."""
    draw = torch.Generator().manual_seed(0)
    swing = torch.tensor([0.1, 0.5, 3.0, 0.5, 0.1])
    tokens = torch.randn((800, 1, 6), generator=draw) * swing[:, None] + 0.05 * torch.randn((800, 5, 6), generator=draw)
    prediction = LinearPrediction(6, 2)
    prediction.fit(tokens, torch.ones((800, 5), dtype=torch.bool))
    for left, right in ((1, 1), (2, 2), (1, 2), (2, 1)):
        known = torch.zeros((800, 5), dtype=torch.bool)
        known[:, [2 - left, 2 + right]] = True
        error = prediction(tokens, known)[:, 2] - tokens[:, 2]
        assert error.square().mean() < tokens[:, 2].square().mean()
