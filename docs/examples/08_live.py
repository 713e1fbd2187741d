"""
Live: spikes while a movement is made
=====================================

``live`` is causal: the counts of the next bin follow from the bins before it and from behaviour up to it. So a stream can be driven bin by
bin by a hand that moves right now, and a decoder that reads its spikes closes the loop, as in a brain-computer interface. The page of
``spikeloom live RUN`` does that with the mouse; here the movement comes from an array.
"""

import matplotlib.pyplot as plt
import numpy as np

import spikeloom as sl

data = sl.center_out(n_trials=900)
model = sl.fit(
    data,
    "live-small",
    max_steps=400,
    condition_on=["hand_vel"],
    **{"autoencoder.channels": 24, "autoencoder.latents": 6, "autoencoder.state": 16, "prior.units": 32},
)

# %%
# One bin at a time
# -----------------
# ``step`` takes the behaviour of a bin and draws its counts. The hand goes right, waits, and goes up, for four seconds without a break:
# a stream has no trials.

decoder = sl.LaggedRidge(before=8, after=0).fit(data.split("train"), "hand_vel")
time_s = np.arange(200) * data.bin_s
bump = lambda middle: 30 * np.exp(-(((time_s - middle) / 0.09) ** 2) / 2)  # noqa: E731
velocity = np.stack([bump(1.0), bump(2.6)], axis=1)

stream = model.stream(seed=3)
counts = np.stack([stream.step({"hand_vel": v}) for v in velocity])
print(
    counts.shape,
    f"{1000 * stream.latency(50)['p50']:.2f} ms a bin" if "p50" in stream.latency(50) else stream.latency(50),
)

# %%
# What does a decoder of recorded trials read from it? A causal one, which looks at this bin and eight before it.

recording = sl.SpikeData(counts[None], bin_s=data.bin_s, signals={"hand_vel": velocity[None]})
decoded = decoder.decode(recording)

figure, axes = plt.subplots(2, 1, figsize=(8, 4.2), sharex=True, layout="constrained")
recording.plot_raster(ax=axes[0])
for i, (name, colour) in enumerate((("x", "#1f2326"), ("y", "#e8590c"))):
    axes[1].plot(time_s, velocity[:, i], color=colour, linestyle="--", linewidth=1)
    axes[1].plot(time_s, decoded[:, i], color=colour, label=f"{name}, decoded")
axes[1].set(xlabel="time (s)", ylabel="velocity (cm/s)")
axes[1].legend()

# %%
# Dashed is the hand, solid what is decoded. The first reach appears in x, the second in y, and each fades when the hand rests.

first, second, rest = slice(45, 58), slice(125, 138), slice(85, 110)
means = {name: decoded[part].mean(axis=0) for name, part in (("first", first), ("second", second), ("rest", rest))}
print({name: value.round(1) for name, value in means.items()})
assert means["first"][0] > 3 + abs(means["first"][1])
assert means["second"][1] > 3 + abs(means["second"][0])
assert np.abs(means["rest"]).max() < 5

# %%
# The same spikes, whole
# ----------------------
# ``model.sample`` draws through the same steps, so a trial of the same behaviour and seed is the same, bin for bin.

whole = model.sample(1, condition={"hand_vel": velocity[None]}, length=200, seed=3)
assert (whole.counts[0] == counts).all()

# %%
# A stream can be saved and put back, several can run at once (``n=8``), and what kept a free run within bounds is counted:

print(stream.guards)

# %%
# What it costs to know only the past, measured on recorded data: :doc:`/results/measured/live`. Closed loops with other programs, by the
# lab streaming layer: :doc:`/howto/live`.
