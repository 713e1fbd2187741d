"""An argument of the wrong kind, as a user passes it by mistake, ends in one sentence.

The other tests run under a checker of types that would be the first to object, so this one runs in a plain process.
"""

import subprocess
import sys

import pytest

CODE = """
import numpy as np, spikeloom as sl, sys
rng = np.random.default_rng(0)
counts = rng.poisson(0.4, (20, 15, 4))
data = sl.SpikeData(counts, bin_s=0.02, trials={"angle": np.arange(20) % 4 * 90})
small = {"autoencoder": {"channels": 8, "latents": 2, "encoder_blocks": 1, "state": 4}, "max_steps": 1}
eag = {"prior": {"width": 16, "layers": 1, "heads": 2, "n_register_tokens": 2, "head_width": 8, "head_blocks": 1}}
model = sl.EAG("eag", condition_on=("angle:deg",), **small, **eag).fit(data)
calls = {
    "fit": lambda: sl.EAG("eag").fit(counts),
    "sl.fit": lambda: sl.fit(counts, "eag"),
    "encode": lambda: model.encode(counts),
    "compare": lambda: sl.compare(data, counts),
    "compare a model": lambda: sl.compare(data, model),
    "context": lambda: model.sample(4, context=counts[:4]),
    "save": lambda: sl.save("rec.npz", data),
    "condition": lambda: model.sample(3, condition=45),
    "n": lambda: model.sample("many"),
    "no n": lambda: model.sample(),
    "context without n": lambda: model.sample(context=counts[:4]),
    "observed": lambda: model.sample(context=data[:4], observed="0:10"),
    "observed numbers": lambda: model.sample(context=data[:4], observed=np.arange(10)),
    "observed rows": lambda: model.sample(context=data[:4], observed=[[True], [True, False]]),
    "milliseconds": lambda: sl.SpikeData(counts, bin_s=20),
    "bin_s": lambda: sl.load("lorenz", bin_s="quick"),
}
for name, call in calls.items():
    try:
        call()
    except sl.SpikeloomError as error:
        print(name, "|", error)
    except Exception as error:
        print(name, "| NOT OURS", type(error).__name__, error)
    else:
        print(name, "| ACCEPTED")
"""

RECORDING = (
    "must be a SpikeData; make one with spikeloom.SpikeData(counts, bin_s=...), or load one with spikeloom.load."
)
MASK = (
    "must be an array of True and False for the 15 bins of the context, or with a row for each of its 4 trials; "
    "numpy.arange(15) < 10 observes the first 10 bins."
)
EXPECTED = {
    "fit": f"data is an array of shape (20, 15, 4), but {RECORDING}",
    "sl.fit": f"data is an array of shape (20, 15, 4), but {RECORDING}",
    "encode": f"the recording is an array of shape (20, 15, 4), but {RECORDING}",
    "compare": f"generated is an array of shape (20, 15, 4), but {RECORDING}",
    "compare a model": f"generated is of type EAG, but {RECORDING}",
    "context": f"context is an array of shape (4, 15, 4), but {RECORDING}",
    "save": f"data is of type str, but {RECORDING}",
    "condition": "condition is 45, but must have values by name, such as {'angle': 45}.",
    "n": "n is 'many', but must be a number of trials, at least one.",
    "no n": "the number of trials is missing; say how many to generate, as in model.sample(100).",
    "context without n": f"context is an array of shape (4, 15, 4), but {RECORDING}",
    "observed": f"observed is '0:10', but {MASK}",
    "observed numbers": f"observed is an array of shape (10,) that is not of True and False, but {MASK}",
    "observed rows": f"observed is [[True], [True, False]], but {MASK}",
    "milliseconds": "bin_s is 20, but it is in seconds and bins must be narrower than 5 s; did you mean 0.02 (20 ms)?",
    "bin_s": "the load option 'bin_s' is 'quick', but must be a number.",
}


@pytest.fixture(scope="module")
def messages():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" | ", 1) for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", EXPECTED)
def test_it_is_one_sentence(messages, name):
    assert messages[name] == EXPECTED[name]
