"""The best linear prediction of a token from its neighbours."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

RIDGE = 1e-3
"""Added to the variances of what predicts, as a share of their mean."""
LEAST_ROWS = 2
"""Examples of a case, as multiples of its predictors, below which it is not learned."""


class LinearPrediction(nn.Module):
    """A hidden token predicted from the nearest visible ones on either side, as in a stationary Gaussian process.

    Args:
        values: Values of a token.
        reach: Distance in tokens up to which a visible one counts; where there is none, the mean, 0, is predicted.
    """

    weights: Tensor

    def __init__(self, values: int, reach: int):
        super().__init__()
        self.reach = reach
        cases = (reach + 1) ** 2
        self.register_buffer("weights", torch.zeros(cases, 2 * values, values))

    def fit(self, tokens: Float[Tensor, "trial token values"], whole: Bool[Tensor, "trial token"]) -> None:
        """Learn from the tokens of training trials, those that are whole.

        Every case is learned from its own tokens: covariances of different ones need not go together where trials are
        short and not stationary.
        """
        tokens, whole = tokens.cpu().double(), whole.cpu()  # not every device has double precision
        for case in range(len(self.weights)):
            left, right = divmod(case, self.reach + 1)
            # Where too few trials have both, the nearer one is used.
            nearer = (left, 0) if 0 < left <= right or not right else (0, right)
            for distances in ((left, right), nearer):
                found = _regression(tokens, whole, *distances)
                if found is not None:
                    self.weights[case] = found
                    break

    def cases(self, visible: Bool[Tensor, "trial token"]) -> tuple[Int[Tensor, "trial token"], ...]:
        """Which weights each token has, and where the visible tokens on its left and right are."""
        n = visible.shape[1]
        at = torch.arange(n, device=visible.device)
        left = torch.where(visible, at, -1).cummax(1).values
        right = torch.where(visible, at, 2 * n).flip(1).cummin(1).values.flip(1)
        reach = self.reach
        i, j = at - left, right - at
        i, j = i * ((left >= 0) & (i <= reach)), j * ((right < n) & (j <= reach))  # 0 is none
        return i * (reach + 1) + j, left.clamp(min=0), right.clamp(max=n - 1)

    def forward(
        self, tokens: Float[Tensor, "trial token values"], visible: Bool[Tensor, "trial token"]
    ) -> Float[Tensor, "trial token values"]:
        """Predictions of all tokens; those of visible ones are not used."""
        case, left, right = self.cases(visible)
        left, right = (tokens.gather(1, side[..., None].expand_as(tokens)) for side in (left, right))
        near = torch.cat([left, right], dim=2).flatten(0, 1)  # what is out of reach has no weight
        return _by_case(near, case.flatten(), self.weights).view_as(tokens)


def _regression(tokens: Tensor, whole: Tensor, left: int, right: int) -> Tensor | None:
    """Weights of the tokens so far to the left and right, 0 for none; None if there are too few examples."""
    end, n = tokens.shape[1] - right, tokens.shape[2]
    if end <= left:
        return None
    sides = [(slice(0, end - left), bool(left)), (slice(left + right, None), bool(right))]
    use = whole[:, left:end].clone()
    for place, counts in sides:
        use &= whole[:, place] | (not counts)
    x = tokens[:, left:end][use]
    near = torch.cat([tokens[:, place][use] * counts for place, counts in sides], dim=1)
    predictors = n * (bool(left) + bool(right))
    if len(x) <= max(n, LEAST_ROWS * predictors):
        return None
    # Weights from few rows are shrunk, by about what chance correlations of so many predictors would explain.
    variance = x.square().mean()
    ridge = (RIDGE + predictors / len(x)) * variance * torch.eye(2 * n, dtype=x.dtype, device=x.device)
    return torch.linalg.solve(near.T @ near / len(x) + ridge, near.T @ x / len(x))


def _by_case(rows: Tensor, case: Tensor, matrices: Tensor) -> Tensor:
    """Rows times the matrices of their cases; rows of a case are taken together."""
    order = case.argsort()
    counts = torch.bincount(case, minlength=len(matrices)).tolist()
    parts = rows[order].split(counts)
    products = [part @ matrix for part, matrix in zip(parts, matrices) if len(part)]
    return torch.cat(products)[order.argsort()] if products else rows.new_zeros((*rows.shape[:-1], matrices.shape[2]))
