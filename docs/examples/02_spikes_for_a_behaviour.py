"""
Spikes for a behaviour
======================

A model that was conditioned on behaviour generates spikes for a behaviour that you choose: a direction, or a whole trajectory of the
hand. Whether the spikes carry it is checked by a decoder that has only ever seen recorded trials.
"""

import matplotlib.pyplot as plt
import numpy as np

import spikeloom as sl

data = sl.center_out(n_trials=900, n_neurons=60)
small = {
    "autoencoder.channels": 24,
    "autoencoder.latents": 6,
    "autoencoder.encoder_blocks": 2,
    "autoencoder.state": 16,
    "prior.channels": 48,
    "prior.blocks": 3,
    "prior.state": 16,
}
model = sl.fit(data, "ldns", max_steps=500, condition_on=["hand_vel"], **small)

# %%
# As recorded
# -----------
# For each held-out trial a generated one, conditioned on the velocity of the hand in that trial. The request is a signal: an array
# (trial, time, dimension), in the units of the recording. ``guidance`` above 1 makes samples follow the request more strictly than was
# learned, which makes up for a training of half a minute; a model that was trained in earnest needs none.

held_out = data.split("test")
velocity = held_out.signals["hand_vel"].values
generated = model.sample(held_out.n_trials, condition={"hand_vel": velocity}, guidance=2.0, seed=1)

decoder = sl.LaggedRidge().fit(data.split("train"), "hand_vel")
recorded_r2 = sl.score_decoder(decoder, held_out).value
generated_r2 = sl.score_decoder(decoder, generated, held_out).value
print(f"velocity decoded from recorded trials: R2 {recorded_r2:.2f}, from generated ones: R2 {generated_r2:.2f}")
assert recorded_r2 > 0.4
assert generated_r2 > 0.5 * recorded_r2

# %%
# Is that worth anything? A decoder may do well on any trial of a reach. Spikes that were generated for *another* held-out trial must not
# be decoded into this one:

other = np.roll(np.arange(held_out.n_trials), 1)
exchanged_r2 = sl.score_decoder(decoder, generated.select(trials=other), held_out).value
print(f"from those of another trial: R2 {exchanged_r2:.2f}")
assert exchanged_r2 < generated_r2 - 0.3

# %%
# A movement that nobody made
# ---------------------------
# The hand goes out to the right and turns upwards. No recorded trial does this.

time_s = (np.arange(data.n_bins) + 0.5) * data.bin_s
bump = lambda middle: 30 * np.exp(-(((time_s - middle) / 0.09) ** 2) / 2)  # noqa: E731
turn = np.stack([bump(0.38), bump(0.58)], axis=1)
many = model.sample(60, condition={"hand_vel": np.repeat(turn[None], 60, axis=0)}, guidance=2.0, seed=2)
decoded = decoder.decode(many).reshape(60, data.n_bins, 2)
path = np.cumsum(decoded, axis=1) * data.bin_s
wanted = np.cumsum(turn, axis=0) * data.bin_s

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
many.plot_raster(trial=0, ax=axes[0])
axes[0].set_title("one of the generated trials")
axes[1].plot(*path.transpose(2, 1, 0), color="#e8590c", alpha=0.15)
axes[1].plot(*path.mean(axis=0).T, color="#e8590c", label="decoded from spikes, mean")
axes[1].plot(*wanted.T, color="#1f2326", linestyle="--", label="wanted")
axes[1].set(xlabel="x (cm)", ylabel="y (cm)", title="paths")
axes[1].legend()

# %%
# The decoded path turns where it should. It is shorter than the one wanted: a linear decoder that was fitted to noisy counts shrinks what
# it reads, on recorded trials just as much.

middle, end = path.mean(axis=0)[[24, -1]]
assert middle[0] > max(1.0, middle[1])  # first to the right
assert end[1] > middle[1] + 1  # then up

# %%
# How far from what was recorded?
# -------------------------------
# Samples say how far their condition is from the nearest recorded one, in units of the usual distance between recorded trials: above 1
# the model extrapolates, and whether it is right cannot be checked.

distance = many.trials["condition_distance"].iloc[0]
usual = generated.trials["condition_distance"].median()
print(f"the turn: {distance:.2f}; held-out trials: {usual:.2f}")
assert distance > usual
