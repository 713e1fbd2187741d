"""Adapting a trained latent model to a new session from a few of its trials."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from spikeloom.conditioning.variables import some
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData, check_recording
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError, NotFittedError, SpikeloomError, warn
from spikeloom.models.autoencoder import Autoencoder
from spikeloom.models.data_spec import DataSpec
from spikeloom.models.saving import shared_folder
from spikeloom.models.sessions.adding import SessionAddition
from spikeloom.models.sessions.bank import Bank
from spikeloom.models.sessions.bank_file import BANK, read_bank
from spikeloom.models.sessions.config import SessionConfig
from spikeloom.models.sessions.head import incomparable_signals, known_values, readable_variables, unmet_labels
from spikeloom.models.sessions.subspace import Subspace
from spikeloom.training.batch import Batch
from spikeloom.training.checkpoint import weights_hash
from spikeloom.training.stages import Stage

if TYPE_CHECKING:
    from spikeloom.models.latent import LatentModel

CHOICE_STREAM = 0xADA
"""Keeps the choice of trials apart from other draws of the same seed."""

Banks = tuple[()] | tuple[Bank]


class Adaptation(nn.Module):
    """The training that adapts a model: a module with ``stages``, as the training loop takes it.

    Args:
        source: A trained model, which is not changed.
        data: The new session; every trial of its split "train" is learned from.
        bank: Encoded trials of the source's reference session.
        config: How the session is added.
        seed: Seed of first weights.
        same_neurons: Whether the neurons are those of the source, recorded at another time.
    """

    def __init__(
        self, source: LatentModel, data: SpikeData, bank: Bank, config: SessionConfig, seed: int, same_neurons: bool
    ):
        super().__init__()
        config = config.for_same_neurons() if same_neurons else config
        spec = replace(DataSpec.of(data), variables=source.data_spec.variables)
        self.model = type(source).for_spec(source.config, spec, seed)
        share_core(self.model, source, copied=True)
        self.bank = bank
        self.subspace = subspace_of(source, config, bank)
        core = self.model.autoencoder
        starts = 1 if same_neurons else None
        self.addition = SessionAddition(core, bank, self.subspace, spec, config, starts)
        if same_neurons:
            self.addition.begin_with(source.autoencoder)
        else:
            self.addition.begin(seed)
        self.config, self.data = config, data
        self.model.bank = (bank,)
        self.model.adapted_from = {
            "weights": weights_hash(source),
            "trials": len(data.splits["train"]),
            "same_neurons": same_neurons,
        }

    @classmethod
    def prepared(
        cls,
        source: LatentModel,
        data: SpikeData,
        trials: int | None = None,
        same_neurons: bool = False,
        config: SessionConfig | None = None,
        reference: SpikeData | None = None,
        seed: int = 0,
    ) -> Adaptation:
        """The training for which everything has been checked and chosen; the arguments are those of ``adapt``.

        Raises:
            SpikeloomError: If the model cannot be adapted to this session.
        """
        config = config or SessionConfig()
        check_adaptable(source)
        check_session(source, data, same_neurons)
        bank = bank_of(source, config.bank_trials, reference)
        tell_left_out(data, bank)
        return cls(source, chosen_trials(data, trials, seed), bank, config, seed, same_neurons)

    def stages(self, data: SpikeData) -> Iterator[Stage]:
        """The session's read-in and read-out; then its observation is fitted, on the rates that they give."""
        train = session_batch(data.split("train"), self.bank)
        with frozen(self.model):
            yield Stage("session", self.addition, train, train, self.config.training)
        self.addition.end(self.model.autoencoder, train)
        self.model.learn_observation(data)

    def mark_trained(self, data: SpikeData) -> None:
        """Note that training has ended."""
        self.model.mark_trained(data)

    def save(self, folder: str | Path) -> None:
        """Write the adapted model."""
        self.model.save(folder)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No gradients of a model's parameters while the block lasts."""
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)


def check_adaptable(model: LatentModel) -> None:
    """Refuse a model to which no session can be added.

    Raises:
        NotFittedError: If it is not trained.
        ConfigError: If its autoencoder is of another kind, or hides counts of single neurons.
    """
    if not model.trained:
        raise NotFittedError(f"this {model.name} model is not trained yet; fit it before sessions are added to it.")
    check_adaptable_kind(model)


def check_adaptable_kind(model: LatentModel) -> None:
    """Refuse a model to which no session could be added, trained or not.

    Raises:
        ConfigError: If it is one.
    """
    if not isinstance(model.autoencoder, Autoencoder):
        raise ConfigError(
            f"a model of kind '{model.name}' has an autoencoder of its own kind, to which no session can be added; "
            "fit one of ldns or eag."
        )
    held_out = model.autoencoder.held_out_inputs
    if held_out is not None and held_out.anything:
        raise ConfigError(
            "autoencoder.held_out_inputs hides neurons or bins of one recording from the encoder, so no session can be "
            "added to this model; fit one without."
        )
    if getattr(getattr(model.config, "prior", None), "positions", None) == "learned":
        raise ConfigError(
            "prior.positions is 'learned', so the prior knows trials of one session's length only, and no session can "
            "be added; fit with rotary positions."
        )


def check_session(model: LatentModel, data: SpikeData, same_neurons: bool = False) -> None:
    """Refuse a recording that cannot be a session of a model.

    Raises:
        DataError: If its bins are of another width, or neurons said to be the same are not as many.
    """
    check_recording(data, "the new session")
    spec = model.data_spec
    if not np.isclose(data.bin_s, spec.bin_s):
        raise DataError(
            f"the new session has bins of {data.bin_s:g} s, but the model was made for {spec.bin_s:g} s; read it with "
            "that bin width."
        )
    if same_neurons and data.n_neurons != spec.n_neurons:
        raise DataError(
            f"the new session has {data.n_neurons} neurons, but the model's are {spec.n_neurons}, so they are not the "
            "same; leave same_neurons out, or keep those that were recorded both times."
        )


def share_core(model: LatentModel, owner: LatentModel, copied: bool = False) -> None:
    """Let a model use the core and the prior of another one: the same modules, or copies of them."""

    def taken(module: Any) -> Any:
        return copy.deepcopy(module) if copied else module

    for name in ("encoder", "to_latents", "to_spread", "from_latents", "decoder"):
        setattr(model.autoencoder, name, taken(getattr(owner.autoencoder, name)))
    model.prior = taken(owner.prior)


def tell_left_out(data: SpikeData, bank: Bank, name: str = "the new session") -> None:
    """Warn of signals and labels that cannot be compared with the reference's, so that they do not align latents."""
    for signal, reason in incomparable_signals(data, bank.head.variables).items():
        warn(f"the signal '{signal}' of {name} {reason} as in the reference, so it is left out.")
    for variable in bank.head.variables:
        if labels := unmet_labels(data, variable):
            warn(f"'{variable.name}' of {name} has values that the reference has not ({some(labels)}), left out.")


def session_batch(data: SpikeData, bank: Bank) -> Batch:
    """Trials with those values of the bank's variables that they have and that it knows."""
    return Batch.of(known_values(data, bank.head.variables), bank.head.variables)


def subspace_of(model: LatentModel, config: SessionConfig, bank: Bank) -> Subspace:
    """The inputs and outputs that the neurons of a trained model use."""
    spec = model.data_spec
    made = Subspace.of_width(model.config.autoencoder.channels, spec.n_neurons, config.input_rank, config.output_rank)
    device = model.prior.mean.device
    made.to(device).fill(model.autoencoder, torch.from_numpy(spec.mean_counts).to(device), bank.to(device))
    return made


def bank_of(model: LatentModel, most: int = SessionConfig.bank_trials, data: SpikeData | None = None) -> Bank:
    """The bank that came with a model, or one that is encoded from its training trials.

    Args:
        model: A trained model.
        most: Trials that a new bank has at most.
        data: The recording that the model was fitted to; the one it remembers, or that of its run folder, by default.

    Raises:
        DataError: If there is no bank, and no recording to make one from.
    """
    if model.bank:
        return model.bank[0]
    for folder in () if model._folder is None else (model._folder, shared_folder(model._folder)):
        if (folder / BANK).is_file():
            return read_bank(folder)
    data = model._recording if data is None else data
    if data is None:
        data = _recording_of(model._folder)
    model._check(data)
    variables = readable_variables(with_default_splits(data), getattr(model.config, "condition_on", ()))
    train = with_default_splits(data).split("train")
    bank = Bank.for_trials(model.config.autoencoder.latents, train, variables, most).to(model.prior.mean.device)
    bank.fill(model, train)
    return bank


def _recording_of(folder: Path | None) -> SpikeData:
    if folder is not None:
        try:
            return load_source(folder)
        except SpikeloomError as error:
            reason = f" ({error})"
    else:
        reason = ""
    raise DataError(
        "the model has no bank of encoded trials, and its recording, from which one is made, is not at hand"
        f"{reason.rstrip('.)') + ')' if reason else ''}; pass the recording it was fitted to (reference=)."
    )


def chosen_trials(data: SpikeData, trials: int | None, seed: int) -> SpikeData:
    """A session of whose training trials only some, drawn at random, are kept in the split "train".

    Args:
        data: The session; splits are made where it has none.
        trials: Number of trials; all training trials when not given.
        seed: Seed of the draw.

    Raises:
        DataError: If there are not so many.
    """
    data = with_default_splits(data)
    train = data.splits["train"]
    if trials is None:
        return data
    if not 1 <= trials <= len(train):
        raise DataError(
            f"{trials} trials of the new session were to be learned from, but it has {len(train)} training trials; "
            f"ask for 1 to {len(train)}."
        )
    chosen = np.sort(np.random.default_rng([seed, CHOICE_STREAM]).permutation(train)[:trials])
    return replace(data, splits={**data.splits, "train": chosen})
