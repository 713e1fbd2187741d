"""Energy-based autoregression: the score is proper, the schedule whole, and padding without influence."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.errors import ConfigError
from spikeloom.nets.generator import Generator
from spikeloom.priors.base import Context
from spikeloom.priors.energy import EnergyConfig, EnergyPrior
from spikeloom.priors.energy_score import energy_score
from spikeloom.priors.masking import masked_share, reveal_rank, revealed_after
from spikeloom.training.batch import Batch, mask_of

SMALL = EnergyConfig(
    width=16,
    layers=1,
    heads=2,
    n_register_tokens=2,
    head_width=12,
    head_blocks=1,
    noise_dim=4,
    samples=3,
    sampling_steps=4,
)
PUBLISHED = replace(
    SMALL,
    positions="learned",
    conv_radius=0,
    patch=1,
    direct_noise=False,
    whitening=0.0,
    prediction_radius=0,
    samples=2,
    mask_schedule="narrow",
    spread_masks=0.0,
    reveal_order="random",
)
KINDS = {"default": SMALL, "single bins": replace(SMALL, patch=1), "published": PUBLISHED}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth(n: int = 12, n_bins: int = 22, size: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn((n, n_bins, size), generator=seeded(seed)).cumsum(1) / 3


def prior(config: EnergyConfig = SMALL, n_bins: int = 22, lengths: torch.Tensor | None = None) -> EnergyPrior:
    torch.manual_seed(0)
    model = EnergyPrior(3, config, bins=n_bins)
    latents = smooth(n_bins=n_bins)
    model.prepare(latents, torch.full((len(latents),), n_bins) if lengths is None else lengths)
    for p in model.parameters():  # a new head draws the same for every context
        torch.nn.init.normal_(p, std=0.2) if p.ndim > 1 else None
    return model.eval()


class TestScore:
    def test_two_samples_give_the_published_loss(self):
        x, y = torch.randn((2, 50, 3), generator=seeded()), torch.randn((50, 3), generator=seeded(1))
        published = (x[0] - y).norm(dim=1) + (x[1] - y).norm(dim=1) - (x[0] - x[1]).norm(dim=1)
        torch.testing.assert_close(energy_score(x - y)[0], published.mean())

    @pytest.mark.parametrize("exponent", [0.7, 1.0, 1.5])
    def test_the_estimate_is_unbiased_in_the_number_of_samples(self, exponent):
        y = torch.randn((1, 2), generator=seeded()).expand(60_000, 2)
        few, many = (torch.randn((m, 60_000, 2), generator=seeded(m)) for m in (2, 8))
        a, b = (float(energy_score(x - y, exponent)[0]) for x in (few, many))
        assert a == pytest.approx(b, abs=0.02)

    def test_equal_samples_have_a_finite_gradient(self):
        error = torch.zeros((2, 5, 3), requires_grad=True)
        energy_score(error)[0].backward()
        assert error.grad is not None
        assert torch.isfinite(error.grad).all()

    @pytest.mark.parametrize("direct", [True, False], ids=["direct noise", "as published"])
    @pytest.mark.slow
    def test_two_modes_are_found_but_with_squared_distances_only_their_mean(self, direct):
        def spread_learned(exponent: float) -> tuple[float, float]:
            torch.manual_seed(0)
            head, draw = Generator(1, 48, 2, 8, 1, direct), seeded(1)
            optimizer = torch.optim.Adam(head.parameters(), 5e-3)
            context = torch.ones(256, 1)
            for step in range(300):
                optimizer.param_groups[0]["lr"] = 5e-3 * 0.5 * (1 + math.cos(math.pi * step / 300))
                side = 2.0 * (torch.rand((256, 1), generator=draw) < 0.5) - 1
                target = side + 0.2 * torch.randn((256, 1), generator=draw)
                samples = head(context.repeat(4, 1), draw).unflatten(0, (4, -1))
                loss = energy_score(samples - target, exponent)[0]
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                drawn = head(torch.ones(20_000, 1), draw)
            return float(drawn.std()), float((drawn.abs() < 0.5).float().mean())

        std, between = spread_learned(1.0)
        assert std == pytest.approx(math.sqrt(1 + 0.2**2), rel=0.05)
        assert between < 0.08
        assert abs(spread_learned(2.0)[0] - math.sqrt(1 + 0.2**2)) > 0.1


class TestMasks:
    @pytest.mark.parametrize(
        ("tokens", "steps", "revealed"),
        [
            (140, 16, "1 2 4 4 6 7 8 10 10 11 12 12 13 13 14 13"),
            (140, 32, "1 1 1 1 1 2 2 2 3 3 3 4 4 4 5 5 4 6 5 6 6 6 6 6 6 7 6 7 7 7 7 6"),
            (256, 16, "2 3 7 8 11 13 15 16 19 20 22 23 23 25 24 25"),
            (256, 32, "1 1 1 2 3 4 3 5 5 6 6 7 7 8 8 8 10 9 10 10 11 11 11 12 11 12 12 13 12 12 13 12"),
            (70, 16, "1 1 2 2 3 3 4 5 5 6 6 6 6 7 7 6"),
            (64, 16, "1 1 1 2 3 3 4 4 5 5 5 6 6 6 6 6"),
            (140, 8, "3 8 13 18 21 24 26 27"),
        ],
    )
    def test_the_schedule_is_the_cosine_of_the_parents(self, tokens, steps, revealed):
        after = revealed_after(torch.tensor([tokens]), steps)[0]
        assert after.diff(prepend=torch.tensor([0])).tolist() == [int(v) for v in revealed.split()]

    @given(st.integers(1, 80), st.integers(1, 100))
    @settings(max_examples=60, deadline=None)
    def test_every_schedule_ends_with_all_tokens_and_stops_for_none(self, tokens, steps):
        after = revealed_after(torch.tensor([tokens, 0]), steps)
        assert after[0, -1] == tokens
        assert (after[1] == 0).all()
        gained = after[0].diff(prepend=torch.tensor([0]))
        assert (gained >= 0).all()
        assert (gained[: min(tokens, steps)] >= 1).all()

    @given(st.integers(1, 90), st.booleans(), st.integers(0, 1000))
    @settings(max_examples=60, deadline=None)
    def test_an_order_is_a_permutation_of_the_free_tokens(self, width, spread, seed):
        draw = seeded(seed)
        lengths = torch.randint(1, width + 1, (5,), generator=draw)
        inside = torch.arange(width) < lengths[:, None]
        free = inside & (torch.rand((5, width), generator=draw) < 0.7)
        rank = reveal_rank(free, lengths, torch.full((5,), spread), draw)
        for row, places in zip(free, rank):
            assert sorted(places[row].tolist()) == list(range(int(row.sum())))
            assert (places[~row] >= row.sum()).all()

    def test_a_spread_order_leaves_no_wide_gap(self):
        n, width = 300, 140
        rank = reveal_rank(
            torch.ones((n, width), dtype=torch.bool), torch.full((n,), width), torch.ones(n, dtype=torch.bool), seeded()
        )
        for places in rank.argsort(1).numpy():
            for first in (2, 5, 16, 50, 100):
                chosen = np.sort(places[:first])
                gaps = np.diff(chosen, append=chosen[0] + width)
                assert gaps.max() <= 2 * width / first + 1e-9

    def test_spread_orders_draw_a_gaussian_process_better_than_random_ones(self):
        # The perfect head: every token revealed in a pass has its true conditional mean and variance given the context.
        time = np.arange(140)
        covariance = 0.99 * np.exp(-0.5 * ((time[:, None] - time) / 8) ** 2) + 0.01 * np.eye(140)

        def divergence(spread: bool, seed: int) -> float:
            rank = reveal_rank(
                torch.ones((1, 140), dtype=torch.bool), torch.tensor([140]), torch.tensor([spread]), seeded(seed)
            )
            order, after = rank[0].argsort().numpy(), revealed_after(torch.tensor([140]), 16)[0].tolist()
            of_model, first = 0.0, 0
            for last in after:
                new, old = order[first:last], order[:first]
                left = covariance[new, new]
                if first:
                    weights = np.linalg.solve(covariance[np.ix_(old, old)], covariance[np.ix_(old, new)])
                    left = left - (covariance[np.ix_(old, new)] * weights).sum(0)
                of_model += np.log(left).sum()
                first = last
            return 0.5 * (of_model - np.linalg.slogdet(covariance)[1])

        assert 0.60 < np.mean([divergence(True, s) for s in range(20)]) < 0.68
        assert 4.5 < np.mean([divergence(False, s) for s in range(20)]) < 7.5

    def test_the_narrow_schedule_is_the_upper_end_of_a_half_normal(self):
        shares = torch.cat([masked_share("narrow", 1, seeded(seed)) for seed in range(4000)])
        assert shares.min() >= 0.7
        assert shares.max() <= 1
        counts = torch.histc(shares, 3, 0.7, 1.0)
        assert counts[0] < counts[1] < counts[2]
        assert float(shares.mean()) == pytest.approx(0.868, abs=0.005)  # of the truncated normal, scipy.stats.truncnorm

    def test_the_cosine_schedule_covers_every_share_in_every_batch(self):
        shares = masked_share("cosine", 64, seeded())
        expected = torch.cos(torch.pi / 2 * (torch.arange(64) + 0.5) / 64)
        assert (shares.sort().values - expected.sort().values).abs().max() < 0.02


class TestPrior:
    @pytest.mark.parametrize(
        ("config", "size", "bins", "parameters", "of_head"),
        [
            (
                dict(width=48, layers=2, heads=2, n_register_tokens=0, head_width=64, head_blocks=3, noise_dim=8),
                3,
                16,
                132_659,
                75_011,
            ),
            (
                dict(width=256, layers=8, heads=8, n_register_tokens=8, head_width=384, head_blocks=4, noise_dim=64),
                16,
                140,
                9.7e6,
                None,
            ),
            (
                dict(width=256, layers=6, heads=8, n_register_tokens=8, head_width=256, head_blocks=4, noise_dim=64),
                8,
                256,
                6.3e6,
                None,
            ),
        ],
    )
    def test_parameter_counts(self, config, size, bins, parameters, of_head):
        config = replace(PUBLISHED, **{**config, "n_register_tokens": max(config["n_register_tokens"], 1)})
        model = EnergyPrior(size, config, bins=bins)
        total = sum(p.numel() for p in model.parameters())
        if of_head is not None:
            assert sum(p.numel() for p in model.head.parameters()) == of_head
            assert total == parameters + config.width  # a model has at least one buffer, which the formula does not
        assert total == pytest.approx(parameters, rel=0.02)

    def test_a_new_published_head_draws_zeros(self):
        model = EnergyPrior(3, PUBLISHED, bins=22)
        z = smooth()
        loss = model.loss(Batch(torch.full((12,), 22), False, latents=z), seeded())
        loss.backward()
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())
        assert (model.draw(torch.tensor([22]), 22, seeded()) == 0).all()

    def test_no_temperature_still_leaves_noise(self):
        model = prior()
        lengths = torch.full((2,), 22)
        a, b = (model.draw(lengths, 22, seeded(s), temperature=0.0) for s in (0, 1))
        assert not torch.equal(a, b)
        assert (a - b).std() < (model.draw(lengths, 22, seeded(0)) - model.draw(lengths, 22, seeded(1))).std()

    @pytest.mark.parametrize("kind", KINDS)
    def test_padding_influences_nothing(self, kind):
        lengths = torch.tensor([9, 14, 17, 20, 3, 1])
        model = prior(KINDS[kind], lengths=torch.full((12,), 21))
        z = smooth(6) * mask_of(lengths, 22)
        longer = torch.cat([z, 1e3 * torch.randn((6, 9, 3), generator=seeded(3))], dim=1)
        for n_bins, values in ((22, z), (22, z + 1e3 * ~mask_of(lengths, 22)), (31, longer)):
            model.eval()
            if KINDS[kind].positions == "learned" and n_bins > 22:
                continue
            width = -(-n_bins // model.config.patch)
            valid = model._valid(lengths, n_bins)
            shown = valid & (torch.arange(width) % 2 == 0)[None, :, None]
            aligned = model._token_features(None, lengths, n_bins)
            context = model._encode(model._tokens(values), shown, valid, aligned)
            if n_bins == 22 and values is z:
                expected = context[valid.any(-1)]
            inside = valid.any(-1)
            torch.testing.assert_close(context[inside], expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("kind", KINDS)
    def test_garbage_in_the_padding_changes_no_loss(self, kind):
        lengths = torch.tensor([9, 14, 17, 20, 3, 1])
        model = prior(KINDS[kind], lengths=torch.full((12,), 21))
        z = smooth(6) * mask_of(lengths, 22)
        losses = [model.loss(Batch(lengths, True, latents=v), seeded(1)) for v in (z, z + 1e3 * ~mask_of(lengths, 22))]
        torch.testing.assert_close(*losses)

    @pytest.mark.parametrize("kind", KINDS)
    def test_trials_are_drawn_whole_and_end_where_they_should(self, kind):
        model = prior(KINDS[kind])
        lengths = torch.tensor([22, 5, 1, 13])
        for steps in (1, 4, 50):
            z = model.draw(lengths, 22, seeded(), steps=steps)
            assert z.shape == (4, 22, 3)
            inside = mask_of(lengths, 22).expand_as(z)
            assert (z[inside] != 0).all()
            assert (z[~inside] == 0).all()

    @pytest.mark.parametrize("kind", KINDS)
    def test_what_is_given_stays_and_what_is_not_does_not_matter(self, kind):
        model = prior(KINDS[kind])
        lengths = torch.tensor([22, 22, 18, 40])
        z = smooth(4, 40, seed=5)
        known = torch.rand((4, 40), generator=seeded(2)) < 0.5
        known[1] = torch.arange(40) < 7
        known[2] = True
        first, other = (
            model.draw(lengths, 40, seeded(3), context=Context(values, known))
            for values in (z, z + 100.0 * ~known[..., None])
        )
        kept = known & mask_of(lengths, 40)[..., 0]
        torch.testing.assert_close(first[kept], z[kept])
        torch.testing.assert_close(first, other)

    def test_a_long_trial_goes_on_without_a_seam(self):
        model = prior()
        lengths = torch.tensor([75, 22, 60, 23])
        z = model.draw(lengths, 75, seeded())
        assert (z[mask_of(lengths, 75).expand_as(z)] != 0).all()
        torch.testing.assert_close(z, model.draw(lengths, 75, seeded()))

    def test_windows_of_a_long_trial_are_no_longer_than_those_of_training(self, monkeypatch):
        model, calls = prior(n_bins=20), []
        fill = model._fill
        monkeypatch.setattr(
            model,
            "_fill",
            lambda z, known, lengths, *rest: (
                calls.append((z.shape[1], lengths, known)) or fill(z, known, lengths, *rest)
            ),
        )
        model.draw(torch.tensor([64, 20]), 64, seeded())
        assert {n for n, *_ in calls} == {20}
        assert all((lengths == 20).all() for _, lengths, _ in calls)  # a last window lies at the end, and is whole
        assert all(known.any(1).all() for _, _, known in calls[1:])

    def test_diagnostics_tell_a_collapsed_generator(self):
        model = prior(replace(SMALL, samples=4))
        batch = Batch(torch.full((12,), 22), False, latents=model.normalised(smooth(), torch.full((12,), 22)))
        diagnostics = model.diagnostics(batch, seeded())
        assert set(diagnostics) == {"spread_ratio", "increment_ratio"}
        with torch.no_grad():
            model.head.scale.weight.zero_()
            model.head.scale.bias.zero_()
            model.head.output.weight.zero_()
        collapsed = model.diagnostics(batch, seeded())
        assert collapsed["spread_ratio"] < 0.01
        assert diagnostics["spread_ratio"] > 0.1

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            ({"width": 30}, "multiple"),
            ({"exponent": 2.0}, "exponent"),
            ({"samples": 1}, "samples"),
            ({"mask_schedule": "wide"}, "mask_schedule"),
            ({"reveal_order": "left"}, "reveal_order"),
            ({"positions": "none"}, "positions"),
            ({"whitening": 1.5}, "whitening"),
            ({"sampling_steps": 0}, "sampling_steps"),
            ({"temperature": -1.0}, "temperature"),
        ],
    )
    def test_a_bad_configuration_is_refused(self, change, word):
        with pytest.raises(ConfigError, match=word):
            replace(SMALL, **change)

    def test_patches_and_bins_are_the_same_latents(self):
        model = prior()
        z = smooth(4, 22)
        tokens = model._tokens(z)
        torch.testing.assert_close(tokens.unflatten(2, (4, 3)).flatten(1, 2)[:, :22], z)
        torch.testing.assert_close(tokens @ model.to_code.T @ model.from_code.T, tokens, rtol=1e-3, atol=1e-4)
