"""
Fill in and forecast
====================

``ldns-context`` and ``eag`` learn from parts of trials, so they can draw what is missing: the rest of a trial that has begun, or a
gap in it. What was observed is kept, and everything else is drawn as often as you like; how much the draws differ says how sure the
model is.
"""

import matplotlib.pyplot as plt
import numpy as np

import spikeloom as sl

data = sl.center_out(n_trials=900)
small = {
    "autoencoder.channels": 24,
    "autoencoder.latents": 6,
    "autoencoder.encoder_blocks": 2,
    "autoencoder.state": 16,
    "prior.channels": 48,
    "prior.blocks": 3,
    "prior.state": 16,
}
model = sl.fit(data, "ldns-context", max_steps=500, **small)

# %%
# A trial continued
# -----------------
# The first 22 bins (0.44 s) of held-out trials are observed: the reach has just begun. Twenty futures are drawn for each.

held_out = data.split("test")[:60]
begun = np.arange(data.n_bins) < 22
draws = np.stack([model.sample(context=held_out, observed=begun, seed=k).counts for k in range(20)])
assert (draws[:, :, begun] == held_out.counts[:, begun]).all()  # what was observed is kept
assert draws[:, :, ~begun].std(axis=0).mean() > 0.1  # what was not is drawn anew

# %%
# How good is the forecast? The mean of the draws is compared with the counts that came, summed over five bins, and with the best
# forecast that knows nothing of the trial: the mean over training trials. Explained is the share of the variance about that mean.


def summed(counts: np.ndarray) -> np.ndarray:
    """Counts in groups of five bins behind the last observed one."""
    return counts[..., 22:37, :].reshape(*counts.shape[:-2], 3, 5, -1).sum(axis=-2)


truth = summed(held_out.counts)
average = summed(data.split("train").counts).mean(axis=0)
forecast = summed(draws).mean(axis=0)
explained = 1 - ((truth - forecast) ** 2).sum(axis=(0, 2)) / ((truth - average) ** 2).sum(axis=(0, 2))
print("explained by the forecast, 0 to 0.1, 0.1 to 0.2 and 0.2 to 0.3 s ahead:", explained.round(2))
assert explained[0] > 0.03

# %%
# Spikes are noisy: most of the variance of counts cannot be foreseen by anybody. Against the true rates, which are known here, the
# forecast looks better.

true_rates = summed(held_out.rates)
mean_rates = summed(data.split("train").rates).mean(axis=0)
of_rates = 1 - ((true_rates - forecast) ** 2).sum(axis=(0, 2)) / ((true_rates - mean_rates) ** 2).sum(axis=(0, 2))
print("of the true rates:", of_rates.round(2))
assert of_rates[0] > explained[0]
assert of_rates[0] > 0.1

# %%
# Further ahead than a tenth of a second this small model, trained for half a minute, foresees no more than the mean over trials does.
#
# A gap filled in
# ---------------
# Bins 15 to 25 of a trial are lost. The draws between agree more than those of a forecast, as they are held at both ends.

gap = (np.arange(data.n_bins) < 15) | (np.arange(data.n_bins) >= 25)
one = held_out[:1]
filled = [model.sample(context=one, observed=gap, seed=k) for k in range(3)]
figure, axes = plt.subplots(1, 4, figsize=(11, 2.8), layout="constrained")
one.plot_raster(ax=axes[0])
axes[0].set_title("recorded")
for ax, drawn, number in zip(axes[1:], filled, "123", strict=True):
    drawn.plot_raster(ax=ax)
    ax.set_title(f"filled in, draw {number}")
for ax in axes:
    ax.axvspan(15 * data.bin_s, 25 * data.bin_s, color="#e8590c", alpha=0.12)
assert all((drawn.counts[:, gap] == one.counts[:, gap]).all() for drawn in filled)

# %%
# From the shell: ``spikeloom sample RUN --context RUN --observed 0:22``. ``spikeloom bench forecast`` scores forecasts of runs beside
# persistence and a linear autoregression, with coverage and ranked probability scores; measured on recorded data in
# :doc:`/results/measured/context`.
