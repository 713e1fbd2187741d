"""
Which system do I want?
=======================

Ask what you want to do; quality comes second, as systems with spike history hardly differ in it.

.. image:: /concepts/schemes/which.svg
   :alt: A decision picture: what you want to do leads to the name of a model

.. list-table::
   :header-rows: 1

   * - you want
     - take
     - because
   * - new trials, with or without a behaviour
     - ``ldns``
     - it is the most thoroughly measured here
   * - the rest of a trial, a gap filled in, samples longer than any trial
     - ``ldns-context``, ``eag``
     - they learn from parts of trials
   * - spikes while a movement is made
     - ``live``
     - the next bin follows from the bins before it
   * - one vector for each trial, traversals between trials
     - ``gnocchi``
     - it generates trials for a code
   * - behaviour together with spikes
     - ``tndm``
     - its factors are divided into those that behaviour needs and the others
   * - rates of single trials, neurons and bins predicted
     - ``lfads``
     - what it was made for, with the search of AutoLFADS
   * - spikes for labels, latents that are identifiable
     - ``pivae``
     - its prior over latents depends on the labels
   * - a baseline that a learned prior has to beat
     - ``gaussian``
     - the autoencoder of LDNS with a Gaussian process for each latent

What each system *can* do need not be looked up: it is part of the classes.
"""

import inspect

import spikeloom as sl

CLASSES = [sl.LDNS, sl.EAG, sl.Live, sl.GNOCCHI, sl.LFADS, sl.TNDM, sl.PiVAE, sl.GaussianLatents]
print(f"{'model':10} {'condition':10} {'context':10} {'codes':10} {'bin by bin':10}")
for kind in CLASSES:
    arguments = inspect.signature(kind.sample).parameters
    can = [name in arguments for name in ("condition", "context", "codes")] + [hasattr(kind, "stream")]
    print(f"{kind.name:10} " + " ".join(f"{'yes' if each else '-':10}" for each in can))

assert "context" in inspect.signature(sl.EAG.sample).parameters
assert "codes" in inspect.signature(sl.GNOCCHI.sample).parameters
assert hasattr(sl.Live, "stream")
assert not hasattr(sl.LDNS, "stream")

# %%
# Every one of them is trained, sampled, saved and compared alike, so trying another one is a word. Trained for a few seconds each on the same
# recording, which is far too short to say anything of their quality:

data = sl.center_out(n_trials=200, n_neurons=12)
for preset in ("ldns", "lfads", "gaussian"):
    model = sl.fit(data, preset, max_steps=20)
    new = model.sample(30, seed=0)
    print(
        f"{preset:10} {new.counts.mean() / new.bin_s:.1f} Hz, recorded {data.counts.mean() / data.bin_s:.1f} Hz; cite: {model.citation()[:60]}..."
    )
    assert new.n_neurons == data.n_neurons

# %%
# How they compare when they are trained in earnest, on two recordings with two seeds each, is in :doc:`/results/overview`; what each is,
# and when it fails, on its page below :doc:`/concepts/index`.
