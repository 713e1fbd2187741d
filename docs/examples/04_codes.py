"""
Codes of trials
===============

GNOCCHI learns one vector for each trial, its code, without access to behaviour. A linear map from codes to behaviour then gives the
direction in code space that leads to another target, and new trials are generated along it.
"""

import matplotlib.pyplot as plt
import numpy as np

import spikeloom as sl

data = sl.center_out(n_trials=900, n_neurons=100)
train, held_out = data.split("train"), data.split("test")
model = sl.fit(
    data,
    "gnocchi",
    max_steps=600,
    code_dim=4,
    **{"encoder.hidden": 32, "diffusion.hidden": 32, "diffusion.steps": 100, "diffusion.sampling_steps": 12},
)

# %%
# What is in a code?
# ------------------
# Four numbers a trial. Are the targets in them? A linear map is fitted to training trials and tested on held-out ones; the target is
# an angle, so its cosine and sine are read.


def targets(trials: sl.SpikeData) -> np.ndarray:
    """Cosine and sine of the direction of each trial's target."""
    angle = np.radians(trials.trials["reach_angle_deg"].to_numpy(float))
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


codes = model.codes(train)
design = np.column_stack([codes, np.ones(len(codes))])
weights = np.linalg.lstsq(design, targets(train), rcond=None)[0]
read = np.column_stack([model.codes(held_out), np.ones(held_out.n_trials)]) @ weights
r2 = 1 - ((read - targets(held_out)) ** 2).sum(axis=0) / (
    (targets(held_out) - targets(held_out).mean(axis=0)) ** 2
).sum(axis=0)
print("targets of held-out trials read from their codes: R2", r2.round(2))
assert r2.mean() > 0.4

figure, ax = plt.subplots(figsize=(4.2, 4), layout="constrained")
points = ax.scatter(*read.T, c=held_out.trials["target"], cmap="hsv", s=14)
ax.set(xlabel="cosine", ylabel="sine", title="held-out codes, read as targets", aspect="equal")
figure.colorbar(points, label="target")

# %%
# The codes fall onto a ring, in the order of the targets: nobody told the model that there are any.
#
# New trials for a code
# ---------------------
# The same code with other noise gives trials that share what the code says and differ in everything else.

chosen = held_out[:8]
again = model.sample(codes=np.repeat(model.codes(chosen), 25, axis=0), seed=1)
decoder = sl.LabelDecoder().fit(train, "target")
share = sl.score_decoder(decoder, again, chosen.select(trials=np.repeat(np.arange(8), 25))).value
real = sl.score_decoder(decoder, held_out).value
print(
    f"target decoded from trials generated for a code: {share:.0%} right; from recorded trials {real:.0%}; by chance 12 %"
)
assert share > 0.25  # twice chance

# %%
# A traversal
# -----------
# ``sl.navigate`` moves the code of a trial along one variable and leaves the others alone. Here the cosine of the direction grows from
# left to right.

trip = sl.navigate(
    model, data, "reach_angle_deg_cos", variables=["reach_angle_deg"], draws=24, amounts=[-1.0, 0.0, 1.0]
)
mean_counts = np.array([trip.sample.counts[trip.sample.trials["step"] == s].mean(axis=(0, 1)) for s in range(3)])
preferred = np.radians(data.neurons["preferred_deg"].to_numpy(float))
change = np.corrcoef(mean_counts[2] - mean_counts[0], np.cos(preferred))[0, 1]
print(f"neurons that fire more at its end prefer the right: correlation {change:.2f}")
assert change > 0.5

# %%
# From the shell: ``spikeloom navigate RUN RUN --variable target_x``, see :doc:`/howto/codes`; on simulated and recorded reaches, against
# LFADS and a principal component analysis of trials: :doc:`/results/measured/gnocchi`.
