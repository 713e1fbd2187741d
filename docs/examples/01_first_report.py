"""
Your first report, and how to read it
=====================================

A model learns from recorded trials, new trials are drawn from it, and a comparison with held-out trials says what is right in
them and what is not. The recording is a simulated one: reaches to eight targets, and thirty neurons tuned to them. The model is a
small LDNS that trains for half a minute, so do not expect it to be perfect: what matters here is how one sees what is wrong.
"""

import matplotlib.pyplot as plt
import numpy as np

import spikeloom as sl

data = sl.center_out(n_trials=900)
print(data)

# %%
# Rows are neurons, ticks spikes. The go cue comes at 0.2 s and the hand moves about a quarter of a second later.

figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
data.plot_raster(trial=0, ax=axes[0])
data.plot_psth(by="target", ax=axes[1])
figure.suptitle("A trial, and mean rates by target")

# %%
# Train
# -----
# ``sl.fit`` takes a preset and any value of its configuration by name. Trials are split: the model learns from 630, weights are chosen on
# 90, and 180 are held out for the comparison.

small = {
    "autoencoder.channels": 24,
    "autoencoder.latents": 6,
    "autoencoder.encoder_blocks": 2,
    "autoencoder.state": 16,
    "prior.channels": 48,
    "prior.blocks": 3,
    "prior.state": 16,
}
model = sl.fit(data, "ldns", max_steps=400, condition_on=["reach_angle_deg"], **small)
print({name: len(trials) for name, trials in model.splits.items()})

# %%
# Sample
# ------
# New trials for the targets of the held-out trials, three for each: the result is of the same type as the recording.

held_out = data.split("test")
targets = np.repeat(held_out.trials["reach_angle_deg"].to_numpy(), 3)
generated = model.sample(len(targets), condition={"reach_angle_deg": targets}, seed=1)
print(generated)

figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
held_out.plot_raster(trial=0, ax=axes[0])
generated.plot_raster(trial=0, ax=axes[1])
axes[0].set_title("held out")
axes[1].set_title("generated, for the same target")

# %%
# Compare
# -------

comparison = sl.compare(data, generated)
print(comparison.headline)

# %%
# How to read it, from the top:
#
# * **The headline** names what differs most, and how well a classifier tells generated from real trials. An AUC of 0.5 is chance, 1
#   never wrong. The classifier looks at everything at once, so it is nearly always the first to notice something.
# * **A metric** stands on a scale. 0 is its *noise floor*: the same metric between real trials and other real trials, as many of them.
#   1 is its *yardstick*: real trials with the one fault the metric exists to notice, such as neurons shuffled over trials.
# * **A level** says what may be said: "matches" (the whole interval is near the floor), "close", "differs", "cannot tell" (too few
#   trials: no verdict either way).
# * **Copies**: a generator that replays its training trials matches everywhere, so nothing above counts unless this is negative.

comparison.plot()

# %%
print(comparison.table())

auc = comparison.metrics["c2st_rich"].value
assert 0.5 < auc < 0.92  # above chance, and not always right
assert "No copying detected" in comparison.verdict

# %%
# A generator that is wrong
# -------------------------
# What does a bad table look like? Take the real held-out rates of each target, but draw every neuron on its own: means are right, and
# what neurons share beyond the target is gone.

rng = np.random.default_rng(0)
train = data.split("train")
mean = {t: train.counts[train.trials["target"] == t].mean(axis=0) for t in range(8)}
independent = sl.SpikeData(
    np.stack([rng.poisson(mean[t]) for t in np.repeat(held_out.trials["target"], 3)]),
    bin_s=data.bin_s,
    trials={"condition": np.repeat(held_out.trials["target"].to_numpy(), 3)},
)
wrong = sl.compare(data, independent)
print(wrong.headline)

names = ["rate_rmse", "count_kl", "noise_corr_slope", "trial_pc_ratio", "c2st_rich"]
for name in names:
    ours, theirs = comparison.metrics[name], wrong.metrics[name]
    print(f"{name:18} ldns: {ours.level.value:12} independent neurons: {theirs.level.value}")

assert wrong.metrics["c2st_rich"].value > auc + 0.02
assert abs(wrong.metrics["noise_corr_slope"].value) < 0.3 < comparison.metrics["noise_corr_slope"].value

# %%
# Mean rates are right in both; the correlations of the noise, and with them the population counts, are lost in the second. The page
# that ``model.report("report.html")``, or ``spikeloom report RUN``, writes shows all of this with figures.
# :doc:`What a comparison may say </verdict>` has the rules, and how they were tested.
