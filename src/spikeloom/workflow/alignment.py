"""How well the latents of a session agree with those of others, from trained models and recordings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.evaluation.session_alignment import Alignment, explained, read_linearly, session_identity
from spikeloom.models.multi_session import MultiSession
from spikeloom.models.sessions.adapting import session_batch
from spikeloom.training.run import Run
from spikeloom.workflow.sampling import held_out

if TYPE_CHECKING:
    from spikeloom.models.latent import LatentModel
    from spikeloom.models.sessions.bank import Bank

BANK = "(bank)"


def alignment_with_bank(model: LatentModel, data: SpikeData, bank: Bank) -> Alignment:
    """Agreement of an adapted session's held-out trials with the bank of the reference.

    Args:
        model: The model of the session.
        data: The session, with splits.
        bank: Encoded trials of the reference.
    """
    test = held_out(data)
    latents, reference = model.encode(test), bank.raw().cpu().numpy()
    sessions = {BANK: (reference, bank.lengths.cpu().numpy()), "new": (latents, test.lengths)}
    identity, chance = session_identity(sessions)
    across, within = _read_from_bank(model, data, test, latents, bank)
    return Alignment(identity, chance, across, within, _discrepancy(bank, latents, test))


def alignments(model: MultiSession, recordings: Mapping[str, SpikeData]) -> dict[str, Alignment]:
    """Agreement of the held-out trials of each session with all others.

    Args:
        model: A trained model of several sessions.
        recordings: Their recordings, with splits, by name.
    """
    tests = {name: held_out(recordings[name]) for name in model.names}
    encoded = {name: model[name].encode(test) for name, test in tests.items()}
    identity, chance = session_identity({name: (encoded[name], tests[name].lengths) for name in model.names})
    bank = model.bank
    signals = [v.name for v in bank.head.variables if v.aligned]
    trained = {
        name: _bins(model[name].encode(recordings[name].split("train")), recordings[name].split("train"))
        for name in model.names
    }
    floor = _discrepancy(bank, encoded[model.reference], tests[model.reference])
    found = {}
    for name in model.names:
        across, within = {}, {}
        test = _bins(encoded[name], tests[name])
        for signal in signals:
            others = [n for n in model.names if n != name and signal in recordings[n].signals]
            if signal not in recordings[name].signals or not others:
                continue
            truth = _values(tests[name], signal)
            x = np.concatenate([trained[n] for n in others])
            y = np.concatenate([_values(recordings[n].split("train"), signal) for n in others])
            across[signal] = explained(read_linearly(x, y, test), truth)
            own = _values(recordings[name].split("train"), signal)
            within[signal] = explained(read_linearly(trained[name], own, test), truth)
        found[name] = Alignment(identity, chance, across, within, _discrepancy(bank, encoded[name], tests[name]), floor)
    return found


def alignment_lines(folder: str | Path) -> list[str]:
    """How the sessions of a trained run agree, in words, each line with the name of its session."""
    model = MultiSession.load(folder)
    run = Run(Path(folder))
    recordings = {name: load_source(run.session(name).folder) for name in model.names}
    found = alignments(model, recordings)
    return [f"{name}: {line}" for name in model.names for line in found[name].lines()]


def _read_from_bank(
    model: LatentModel, data: SpikeData, test: SpikeData, latents: np.ndarray, bank: Bank
) -> tuple[dict[str, float], dict[str, float]]:
    """R2 of the bank's variables, read as in the bank, and by a map of the session's own."""
    batch = session_batch(test, bank)
    if batch.condition is None:
        return {}, {}
    train = data.split("train")
    own, scaled = model.encode(train), bank.scaled(torch.from_numpy(latents).to(bank.mean))
    learned = session_batch(train, bank).condition
    assert learned is not None
    across, within = {}, {}
    read = bank.head.read(scaled).cpu().numpy()
    inside, inside_train = np.asarray(test.valid), np.asarray(train.valid)
    end = 0
    for index, variable in enumerate(v for v in bank.head.variables if v.aligned):
        at, end = slice(end, end + variable.size), end + variable.size
        known, known_train = (c.aligned_known[:, index].numpy() for c in (batch.condition, learned))
        if not (known.any() and known_train.any()):
            continue
        bins, bins_train = inside & known[:, None], inside_train & known_train[:, None]
        truth = batch.condition.aligned[..., at].numpy()[bins]
        across[variable.name] = explained(read[..., at][bins], truth)
        targets = learned.aligned[..., at].numpy()[bins_train]
        within[variable.name] = explained(read_linearly(own[bins_train], targets, latents[bins]), truth)
    return across, within


def _discrepancy(bank: Bank, latents: np.ndarray, data: SpikeData) -> float:
    lengths = torch.as_tensor(data.lengths.copy()).to(bank.lengths)
    return bank.measured(torch.from_numpy(latents).to(bank.mean), lengths)


def _bins(latents: np.ndarray, data: SpikeData) -> np.ndarray:
    return latents[data.valid]


def _values(data: SpikeData, signal: str) -> np.ndarray:
    return np.asarray(data.signals[signal].values)[data.valid]
