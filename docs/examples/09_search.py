"""
A search on a cluster
=====================

``spikeloom tune`` searches for a configuration: at random, or by population-based training with the tournament of AutoLFADS. Trainings run
side by side on Ray: on the processors of this machine, or, with ``--address``, on a cluster. A search takes hours, so none is run here; what
one found is read from the file that was kept.
"""

import re
from pathlib import Path

import matplotlib.pyplot as plt

import spikeloom
from spikeloom.cli import COMMANDS, parser_of
from spikeloom.tuning.space_file import read_space, spaces

# %%
# What is searched
# ----------------
# A search space is a YAML file: which values of the configuration, within what bounds, on which scale. These are shipped:

print("\n".join(spaces()))

space = read_space("autolfads-autonomous")
for parameter in space.parameters:
    print(f"{parameter.key:26} {parameter.range}")
assert "training.learning_rate" in [parameter.key for parameter in space.parameters]

# %%
# A space of your own names the model and the values::
#
#     model: ldns
#     preset: ldns
#     method: random
#     score: validation_loss
#     space:
#       prior.channels: {choices: [48, 96, 192]}
#       prior_training.learning_rate: {low: 1.0e-4, high: 1.0e-2, scale: log}
#
# The command
# -----------
# Three lines of a job on a cluster whose Ray is running (``ray start`` on each of its machines); without ``--address`` it runs here. The
# same command continues a search that was interrupted, and ``best/`` is an ordinary run folder.

command = """
spikeloom tune session.nwb --bin_s 0.02 --model lfads --space autolfads-autonomous
    --population 20 --generations 20 --cpus 1 --address auto --out searches/lfads
"""
options = parser_of("tune", command.split()[2:]).parse_args(command.split()[2:])  # the command is one
assert (options.population, options.address) == (20, "auto")
assert "tune" in COMMANDS

# %%
# What one found
# --------------
# LFADS on recorded spikes of area S1: five members, six generations, beside the same members without selection. Less is better.

root = next(
    p for p in [Path.cwd(), *Path.cwd().parents, *Path(spikeloom.__file__).parents] if (p / "benchmarks").is_dir()
)
page = (root / "benchmarks" / "results" / "tuning.md").read_text(encoding="utf-8")
rows = {
    name: [float(value) for value in re.findall(r"\.\d{4}", row)]
    for name, row in re.findall(r"\| (tournament|the same members, left alone) \|(.*)", page)
}
figure, ax = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
for name, misfits in rows.items():
    ax.plot(range(1, len(misfits) + 1), misfits, marker="o", label=name)
ax.set(xlabel="generation", ylabel="best misfit (nats a count)")
ax.legend()
assert rows["tournament"][-1] < rows["the same members, left alone"][-1] < rows["tournament"][0]

# %%
# Most of the gain is longer training, some of it is the tournament; one seed says nothing of how searches scatter. Command, seed and the
# random search beside it: :doc:`/results/measured/tuning`. Slurm and Ray: :doc:`/howto/machines`.
