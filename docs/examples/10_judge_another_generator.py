"""
Judge somebody else's generator
===============================

``compare`` does not ask where trials come from. Here a generator that has nothing to do with spikeloom is judged: the dichotomised
Gaussian, which has the right mean rates and the right correlations between neurons in a bin, but no memory from bin to bin
(Macke et al. 2009). Only NumPy and SciPy are needed to make it, and a file of counts to hand it over.
"""

import tempfile
from pathlib import Path

import numpy as np
from scipy.stats import norm

import spikeloom as sl

data = sl.center_out(n_trials=900)
train, held_out = data.split("train"), data.split("test")

# %%
# The generator
# -------------
# A spike where a Gaussian variable exceeds a threshold that follows the mean rate of its bin and target; variables of a bin are correlated
# between neurons as the counts are (to first order), and independent between bins.

rng = np.random.default_rng(0)
mean = {t: train.counts[train.trials["target"] == t].mean(axis=0).clip(1e-3, 0.999) for t in range(8)}
residual = train.counts - np.stack([mean[t] for t in train.trials["target"]])
correlation = np.corrcoef(residual.reshape(-1, data.n_neurons).T) * 1.8
np.fill_diagonal(correlation, 1.0)
values, vectors = np.linalg.eigh(correlation)
root = vectors * np.sqrt(values.clip(1e-6))
targets = np.repeat(held_out.trials["target"].to_numpy(), 3)
gaussian = rng.standard_normal((len(targets), data.n_bins, data.n_neurons)) @ root.T
threshold = np.stack([norm.isf(mean[t]) for t in targets])
counts = (gaussian > threshold).astype(np.uint8)

# %%
# Hand it over
# ------------
# An ``.npz`` file with counts (trial, time, neuron) and the condition of each trial will do; so would HDF5, MATLAB or NWB.

file = Path(tempfile.mkdtemp()) / "theirs.npz"
np.savez(file, spikes=counts, bin_s=data.bin_s, condition=targets)
theirs = sl.load(file)
print(theirs)

comparison = sl.compare(data, theirs)
print(comparison.headline)

# %%
# From the shell the same is ``spikeloom compare session.nwb theirs.npz ours.npz``: several files stand side by side, with errors of
# their differences.

comparison.plot()

# %%
# What the table should find is known here: nothing lasts longer than a bin, so how much a trial as a whole varies is lost, and with it most
# of what neurons share; and there is never a second spike in a bin, so counts scatter wrongly.

for name in ("noise_corr_slope", "trial_pc_ratio", "fano_rmse", "c2st_rich"):
    metric = comparison.metrics[name]
    print(f"{name:18} {metric.value:6.3f}, floor {metric.floor:6.3f}: {metric.level.value}")

metrics = comparison.metrics
assert metrics["c2st_rich"].value > 0.85  # a classifier is hardly fooled
assert metrics["trial_pc_ratio"].value > 3 * metrics["trial_pc_ratio"].floor  # no memory from bin to bin
assert metrics["fano_rmse"].value > 2 * metrics["fano_rmse"].floor

# %%
# A control that must come out clean: held-out trials of another simulated session of the very same neurons, as if a perfect generator
# had made them.

perfect = sl.center_out(n_trials=540, seed=1, neuron_seed=0)
control = sl.compare(data, perfect)
print(control.headline)
assert control.metrics["c2st_rich"].value < 0.62
assert not any(m.level.value in ("differs", "no better") for m in control.metrics.values())
