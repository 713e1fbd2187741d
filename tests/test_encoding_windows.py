"""Long trials are encoded as the trials that the encoder was trained on."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.models.encoding_windows import in_windows
from spikeloom.models.ldns import LDNS
from spikeloom.training.batch import mask_of

SMALL = {"channels": 12, "encoder_blocks": 1, "state": 4, "latents": 3}


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    window=st.integers(1, 12),
    at_once=st.integers(1, 5),
)
@settings(max_examples=60, deadline=None)
def test_every_bin_is_encoded_once_from_the_window_it_is_most_central_in(lengths, window, at_once):
    """The encoder here says from which bins its window is made: its ends are latents."""
    n, time = len(lengths), max(lengths)
    bins = torch.arange(time).float()[None, :, None].expand(n, -1, -1) + 1

    def ends(counts, mask):
        width = torch.full((len(counts),), counts.shape[1]) if mask is None else mask.sum((1, 2))
        first = counts[:, 0, 0]
        last = counts[torch.arange(len(counts)), width - 1, 0]
        sides = [v[:, None, None].expand(-1, counts.shape[1], 1) for v in (first, last)]
        return torch.cat([*sides, counts], dim=-1)

    lengths_ = torch.tensor(lengths)
    mask = mask_of(lengths_, time)
    found = in_windows(ends, bins * mask, mask, window, at_once)
    for trial, length in enumerate(lengths):
        first, last, own = found[trial, :length].T.numpy() - 1
        np.testing.assert_array_equal(own, np.arange(length))  # its own latent, exactly once
        assert (last - first + 1 == min(window, length)).all()
        assert (found[trial, length:] == 0).all()
        if length > window:
            stride = max(window // 2, 1)
            starts = sorted({*range(0, length - window, stride), length - window})
            middle = np.array(starts) + (window - 1) / 2
            distance = np.abs(np.arange(length)[:, None] - middle).min(1)
            np.testing.assert_allclose(np.abs(np.arange(length) - (first + last) / 2), distance)


@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(0)
    data = with_default_splits(SpikeData(rng.poisson(0.5, (30, 20, 6)), bin_s=0.02))
    return LDNS(autoencoder=SMALL, prior={"channels": 8, "blocks": 1, "state": 4}, max_steps=3).fit(data)


def test_a_long_recording_has_the_latents_of_its_windows(trained):
    long = SpikeData(np.random.default_rng(1).poisson(0.5, (2, 95, 6)), bin_s=0.02)
    whole = trained.encode(long)
    window = SpikeData(long.counts[:, 30:50], bin_s=0.02)  # the windows begin at 0, 10, 20, ...
    np.testing.assert_allclose(whole[:, 35:45], trained.encode(window)[:, 5:15], atol=1e-5)
    np.testing.assert_allclose(
        whole[:, :15], trained.encode(SpikeData(long.counts[:, :20], bin_s=0.02))[:, :15], atol=1e-5
    )
    np.testing.assert_allclose(
        whole[:, -12:], trained.encode(SpikeData(long.counts[:, -20:], bin_s=0.02))[:, -12:], atol=1e-5
    )
    assert trained.rates(long).shape == (2, 95, 6)


def test_trials_of_trained_lengths_are_encoded_whole(trained):
    trials = SpikeData(np.random.default_rng(1).poisson(0.5, (3, 20, 6)), bin_s=0.02)
    with torch.no_grad():
        whole = trained.autoencoder.encode(torch.from_numpy(trials.counts).float())
    np.testing.assert_allclose(trained.encode(trials), whole, atol=1e-6)


def test_how_long_a_neighbour_is_changes_nothing(trained):
    counts = np.random.default_rng(1).poisson(0.5, (2, 70, 6))
    together = SpikeData(counts, bin_s=0.02, lengths=np.array([70, 33]))
    alone = SpikeData(counts[1:, :33], bin_s=0.02)
    np.testing.assert_allclose(trained.encode(together)[1, :33], trained.encode(alone)[0], atol=1e-5)


def test_an_encoder_that_looks_back_only_goes_on():
    rng = np.random.default_rng(0)
    data = with_default_splits(SpikeData(rng.poisson(0.5, (30, 20, 6)), bin_s=0.02))
    causal = {**SMALL, "direction": "causal"}
    model = LDNS(autoencoder=causal, prior={"channels": 8, "blocks": 1, "state": 4}, max_steps=2).fit(data)
    long = SpikeData(rng.poisson(0.5, (1, 60, 6)), bin_s=0.02)
    with torch.no_grad():
        whole = model.autoencoder.encode(torch.from_numpy(long.counts).float())
    np.testing.assert_allclose(model.encode(long), whole, atol=1e-5)
