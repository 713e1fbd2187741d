"""
Augmentation for a decoder
==========================

Can generated trials stand in for recorded ones when a decoder is trained? The question is only fair if the generator saw no more trials
than the decoder, and if the answer is compared with what cheap tricks gain: trials taken twice, replayed, or jittered.
"""

import matplotlib.pyplot as plt

import spikeloom as sl

data = sl.center_out(n_trials=400, n_neurons=60)

# %%
# The generator learns from the training trials of the recording, which are those of the decoder, and is asked for three trials for the
# velocity of each of them.

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
train = data.split("train")
wanted = train.select(trials=list(range(train.n_trials)) * 3)
generated = model.sample(wanted.n_trials, condition={"hand_vel": wanted.signals["hand_vel"].values}, seed=1)

# %%
# The study
# ---------
# Decoders are fitted to shares of the recorded trials, to generated ones, and to both, and always tested on recorded trials that neither
# model nor decoder has seen.

study = sl.augmentation_study(
    data,
    generated,
    "hand_vel",
    [sl.LaggedRidge()],
    fractions=(0.1, 0.25, 1.0),
    ratios=(1.0, 3.0),
    baselines=("duplicated", "replay"),
    seeds=3,
)
print(study.table())

# %%
# Two things to read. A decoder that was trained on generated trials *alone* is tested on recorded ones ("TSTR"): how much of what one
# trained on recorded trials reads ("TRTR") it reads, says how well the samples carry the code of the population. And whether *adding* generated
# trials helps is held against adding the same recorded trials again, or replaying them: with all recorded trials there is next to nothing to
# gain for anybody.

row = study.decoders[0]
print(study.verdict)
assert row.tstr.value > 0.7 * row.alone.value  # generated trials alone are nearly as good

figure, ax = plt.subplots(figsize=(5.5, 3.4), layout="constrained")
for source, colour in (("real alone", "#1f2326"), ("synthetic", "#e8590c"), ("replay", "#868e96")):
    points = [p for p in row.points if p.source == source and p.ratio in (0.0, 1.0)]
    ax.errorbar(
        [p.n_real for p in points],
        [p.score.value for p in points],
        [p.score.se for p in points],
        color=colour,
        label=source,
    )
ax.set(xscale="log", xlabel="recorded trials", ylabel="R² of hand_vel", title="with as many trials added")
ax.legend()

few, many = row.at("real alone", 0.1, 0.0), row.at("real alone", 1.0, 0.0)
assert few.score.value < many.score.value
assert abs(row.at("synthetic", 1.0, 1.0).gain.value) < 0.05  # with all recorded trials, nothing to gain

# %%
# A share of the recorded trials with a generator that saw all of them is *loose*: the generator had more than the decoder, so what it adds
# there cannot be claimed as a gain, and the study does not. ``benchmarks/augmentation.py`` trains a generator for each share; what that
# showed on recorded data is in :doc:`/results/measured/decoding/README`. From the shell: ``spikeloom decode RUN --augment FILE``.
