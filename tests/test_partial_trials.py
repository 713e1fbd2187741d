"""A diffusion prior that is shown parts of trials: what is known stays, what is not known does not matter."""

import dataclasses

import pytest
import torch

from spikeloom.conditioning.features import Condition, ConditionSizes
from spikeloom.errors import ConfigError
from spikeloom.priors.base import Context
from spikeloom.priors.diffusion import DiffusionConfig, DiffusionPrior
from spikeloom.priors.partial_trials import observed_in_training
from spikeloom.training.batch import Batch, mask_of

TINY = DiffusionConfig(channels=16, blocks=2, state=4, patch=4, sampling_steps=2, context=0.6)
N_BINS = 22
LENGTHS = torch.tensor([22, 22, 13, 9, 1])
"""Ends of trials inside tokens of four bins, and a trial of one bin."""


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(config: DiffusionConfig = TINY, lengths: torch.Tensor = LENGTHS) -> DiffusionPrior:
    """A prior whose blocks do something (their gates start at zero)."""
    torch.manual_seed(0)
    prior = DiffusionPrior(2, config)
    latents = torch.randn(len(lengths), int(lengths.max()), 2)
    prior.prepare(latents, lengths)
    for parameter in prior.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return prior.eval()


def a_context(seed: int = 0) -> Context:
    """A mask that keeps to no token, and one trial without any observed bin."""
    mask = torch.rand((5, N_BINS), generator=generator(seed)) < 0.4
    mask[1] = False
    mask[0, :6] = True
    return Context(torch.randn((5, N_BINS, 2), generator=generator(seed + 1)), mask & mask_of(LENGTHS, N_BINS)[..., 0])


class TestWhatTrainingShows:
    def test_the_share_of_trials_the_kinds_and_the_ends(self):
        lengths = torch.full((6000,), 64)
        shown = observed_in_training(lengths, 64, 0.6, generator())
        partial = shown[shown.any(1)]
        assert len(partial) / 6000 == pytest.approx(0.6, abs=0.03)
        changes = partial.int().diff(dim=1)
        prefix = ((changes != 0).sum(1) == 1) & partial[:, 0] & ~partial[:, -1]
        suffix = ((changes != 0).sum(1) == 1) & ~partial[:, 0] & partial[:, -1]
        assert prefix.float().mean() > 0.5
        assert 1 / 6 - 0.03 < suffix.float().mean() < 0.3
        assert ((changes != 0).sum(1) > 2).float().mean() > 0.2
        ends = partial[prefix].sum(1)
        assert set(ends.tolist()) >= set(range(1, 64))

    def test_padding_is_never_shown_and_no_trial_of_one_bin(self):
        shown = observed_in_training(LENGTHS.repeat(50), N_BINS, 1.0, generator())
        assert not (shown & ~mask_of(LENGTHS.repeat(50), N_BINS)[..., 0]).any()
        assert not shown[4::5].any()
        assert shown[:4].any(1).all()

    def test_no_share_shows_nothing(self):
        assert not observed_in_training(LENGTHS, N_BINS, 0.0, generator()).any()

    @pytest.mark.parametrize("patch", [1, 4])
    def test_the_loss_is_that_of_hidden_bins_alone(self, patch, monkeypatch):
        prior = made(dataclasses.replace(TINY, patch=patch, context=1.0))
        batch = Batch(LENGTHS, True, latents=torch.randn((5, N_BINS, 2), generator=generator()))
        before = float(prior.loss(batch, generator(3)).detach())
        original, shown = prior.network.forward, []

        def spoilt(x, step, mask, static, aligned):
            shown.append(aligned[..., -1:])
            return original(x, step, mask, static, aligned) + 100.0 * shown[0]

        monkeypatch.setattr(prior.network, "forward", spoilt)
        assert float(prior.loss(batch, generator(3)).detach()) == pytest.approx(before, rel=1e-5)
        assert shown[0].any()

    def test_without_a_context_nothing_more_is_drawn(self):
        """Trainings of version 0.1.0 are repeated by later ones."""
        config = dataclasses.replace(TINY, context=0.0)
        batch, draws = Batch(LENGTHS, True, latents=torch.randn(5, N_BINS, 2)), generator()
        made(config).loss(batch, draws)
        other = generator()
        torch.rand(1, generator=other)
        torch.randn((5, N_BINS, 2), generator=other)
        assert torch.equal(draws.get_state(), other.get_state())


class TestDenoising:
    @torch.no_grad()
    @pytest.mark.parametrize("patch", [1, 4])
    @pytest.mark.parametrize("norm", ["per_bin", "over_time"])
    def test_what_is_known_is_kept_and_what_is_not_does_not_matter(self, patch, norm):
        prior, context = made(dataclasses.replace(TINY, patch=patch, norm=norm)), a_context()
        x = torch.randn((5, N_BINS, 2), generator=generator(5))
        out = prior.denoise(x, 300.0, LENGTHS, None, context)
        known = context.mask[..., None]
        torch.testing.assert_close(out * known, context.latents * known, rtol=0, atol=0)
        padding = ~mask_of(LENGTHS, N_BINS)
        garbage = Context(torch.where(known, context.latents, torch.tensor(9.0)), context.mask)
        spoilt = torch.where(known | padding, torch.tensor(-7.0), x)
        torch.testing.assert_close(prior.denoise(spoilt, 300.0, LENGTHS, None, garbage), out, rtol=1e-5, atol=1e-5)

    @torch.no_grad()
    def test_more_padding_changes_nothing(self):
        prior, context = made(), a_context()
        x = torch.randn((5, N_BINS, 2), generator=generator(5))
        out = prior.denoise(x, 300.0, LENGTHS, None, context)
        wide = [torch.nn.functional.pad(v, (0, 0, 0, 7), value=3.0) for v in (x, context.latents)]
        mask = torch.nn.functional.pad(context.mask, (0, 7))
        other = prior._denoise_at_once(
            wide[0], 300.0, LENGTHS, prior._features(None, LENGTHS, 29), Context(wide[1], mask)
        )
        torch.testing.assert_close(other[:, :N_BINS], out, rtol=1e-4, atol=1e-5)

    @torch.no_grad()
    def test_a_known_bin_changes_its_neighbours(self):
        prior, context = made(), a_context()
        x = torch.randn((5, N_BINS, 2), generator=generator(5))
        other = Context(context.latents + 1.0, context.mask)
        change = prior.denoise(x, 300.0, LENGTHS, None, other) - prior.denoise(x, 300.0, LENGTHS, None, context)
        assert float((change * ~context.mask[..., None])[0].abs().max()) > 1e-3
        assert float(change[1].abs().max()) == 0  # the trial of which nothing is known


class TestSampling:
    @torch.no_grad()
    @pytest.mark.parametrize("patch", [1, 4])
    @pytest.mark.parametrize("lengths", [LENGTHS, torch.full((5,), 24)])
    @pytest.mark.parametrize("longer", [0, 1, 40])
    def test_samples_of_any_length_keep_their_context(self, patch, lengths, longer):
        prior, context = made(dataclasses.replace(TINY, patch=patch), lengths), a_context()
        wanted = torch.maximum(lengths, LENGTHS) + longer
        n_bins = int(wanted.max())
        mask = torch.nn.functional.pad(context.mask, (0, n_bins - N_BINS))
        latents = torch.nn.functional.pad(context.latents, (0, 0, 0, n_bins - N_BINS), value=5.0)
        drawn, again = (prior.sample(wanted, generator(1), context=Context(latents, mask)) for _ in range(2))
        assert drawn.shape == (5, n_bins, 2)
        torch.testing.assert_close(drawn, again)
        assert torch.isfinite(drawn).all()
        assert (drawn[~mask_of(wanted, n_bins)[..., 0]] == 0).all()
        torch.testing.assert_close(drawn[mask], latents[mask], rtol=1e-5, atol=1e-5)
        garbage = Context(torch.where(mask[..., None], latents, torch.tensor(-9.0)), mask)
        torch.testing.assert_close(prior.sample(wanted, generator(1), context=garbage), drawn)

    @torch.no_grad()
    @pytest.mark.parametrize(("longest", "patch"), [(24, 4), (22, 4), (7, 4), (3, 4), (24, 1), (1, 1)])
    def test_long_samples_are_continued_in_windows_of_the_trained_length(self, longest, patch, monkeypatch):
        lengths = torch.tensor([longest, max(1, longest - 1 if longest % patch else longest)])
        prior = made(dataclasses.replace(TINY, patch=patch), lengths)
        original, seen = prior.network.forward, []

        def forward(x, step, mask, static, aligned):
            seen.append((x.shape[1], int(aligned[0, :, -1].sum())))
            return original(x, step, mask, static, aligned)

        monkeypatch.setattr(prior.network, "forward", forward)
        long = prior.sample(torch.tensor([100, 61]), generator())
        assert long.shape == (2, 100, 2)
        assert (long[0] != 0).all()
        assert max(width for width, _ in seen) <= max(longest, 1)
        assert seen[0][1] == 0
        if longest > 1:
            assert all(known > 0 for _, known in seen[2:])  # after the two passes of the first window

    @torch.no_grad()
    def test_a_long_sample_begins_as_a_short_one(self):
        """The future of a sample changes nothing of its past."""
        prior = made(lengths=torch.full((5,), 24))
        short, long = (prior.sample(torch.full((3,), n), generator(2)) for n in (24, 60))
        torch.testing.assert_close(long[:, :24], short)

    @torch.no_grad()
    @pytest.mark.parametrize("guidance", [1.0, 2.0])
    def test_conditions_go_along_with_the_windows(self, guidance, monkeypatch):
        """A signal that counts bins tells which bins of the trial each window is shown."""
        torch.manual_seed(0)
        prior = DiffusionPrior(2, TINY, ConditionSizes((), (1,)))
        prior.prepare(torch.randn(3, 24, 2), torch.full((3,), 24))
        count = torch.arange(60.0).expand(2, -1)[..., None]
        known = torch.ones((2, 1), dtype=torch.bool)
        condition = Condition(prior.sizes, torch.zeros(2, 0), count, known[:, :0], known)
        original, seen = prior.network.forward, []

        def forward(x, step, mask, static, aligned):
            if aligned[..., 1].all():  # the condition is shown, not left out for guidance
                seen.append(aligned[0, :, 0])
            return original(x, step, mask, static, aligned)

        monkeypatch.setattr(prior.network, "forward", forward)
        prior.sample(torch.tensor([60, 60]), generator(), condition, guidance=guidance)
        starts = [int(shown[0]) for shown in seen]
        assert sorted(set(starts)) == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36]
        assert all(torch.equal(shown, torch.arange(24.0) + start) for shown, start in zip(seen, starts))

    def test_a_prior_trained_without_a_context_is_not_given_one(self):
        with pytest.raises(ConfigError, match="trained without a context"):
            made(dataclasses.replace(TINY, context=0.0)).sample(LENGTHS, generator(), context=a_context())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"context": 1.2}, "prior.context is 1.2"),
        ({"context": 0.5, "length_mask": True}, "length_mask"),
        ({"carried_over": 1.0}, "prior.carried_over is 1"),
    ],
)
def test_the_configuration_is_checked(changes, words):
    with pytest.raises(ConfigError, match=words):
        DiffusionConfig(**changes)
