"""A plan of sampling: everything is settled before anything is drawn, in chunks that can be drawn in any order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from spikeloom.conditioning.features import Condition
from spikeloom.conditioning.novelty import ConditionNovelty
from spikeloom.conditioning.requests import Conditions, Request
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError, warn
from spikeloom.models.context import LatentTrials, Observed, checked_context, context_lengths, mapped, observed_part

if TYPE_CHECKING:
    from spikeloom.models.base import GenerativeModel

SAMPLE_CHUNK = 128
"""Trials drawn together. Every chunk has its own seed, so a sample does not depend on how the work was divided."""
LENGTHS_STREAM = 0x1E46
"""Keeps the draws of lengths apart from others of the same seed."""


@dataclass(frozen=True)
class Plan:
    """New trials, checked but not drawn: the same plan gives the same trials, whoever draws its chunks.

    Attributes:
        lengths: Bins of each trial.
        seed: Seed of all that is drawn.
        chunk_size: Trials drawn together.
        conditions: Requested conditions; trials take the rows in turn, so that a plan for millions stays small.
        requested: Which of "condition", "context" and "codes" the sample is for.
        codes: Code of each trial, of a model with codes.
        observed: Observed counts or latents, around which the others are drawn.
        options: Options of the prior or the observation.
        notes: Entries of the sample's provenance beside those that follow from all this.
        distances: Distance of each row of ``conditions`` from those of every training trial.
    """

    lengths: Int[np.ndarray, "trial"]
    seed: int
    chunk_size: int
    conditions: Conditions
    requested: frozenset[str] = frozenset()
    codes: Float[np.ndarray, "trial code"] | None = None
    observed: Observed | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    distances: Float[np.ndarray, "row"] | None = None

    @property
    def n(self) -> int:
        """Number of trials."""
        return len(self.lengths)

    @property
    def n_bins(self) -> int:
        """Bins of the longest trial."""
        return int(self.lengths.max())

    def chunks(self) -> Iterator[Chunk]:
        """All chunks, from the first trial to the last; each is made as it is needed."""
        n_bins = self.n_bins
        for number, start in enumerate(range(0, self.n, self.chunk_size)):
            at = slice(start, min(start + self.chunk_size, self.n))
            rows = np.arange(at.start, at.stop) % self.conditions.n_trials
            yield Chunk(
                self.lengths[at],
                n_bins,
                chunk_seed(self.seed, number),
                self.conditions.rows(rows),
                None if self.codes is None else self.codes[at],
                None if self.observed is None else _cut(self.observed, at, int(self.lengths[at].max())),
                self.options,
                None if self.distances is None else self.distances[rows],
            )


@dataclass(frozen=True)
class Chunk:
    """Some trials of a plan: all that is needed to draw them, beside the model.

    Attributes:
        lengths: Bins of each trial.
        n_bins: Bins of the longest trial of the plan, to which all are padded in the end.
        seed: Seed of the chunk's own generator.
        conditions: Requested conditions, a row for each trial.
        codes: Code of each trial.
        observed: Observed counts or latents, around which the others are drawn.
        options: Options of the prior or the observation.
        distances: Distance of each trial's condition from those of every training trial.
    """

    lengths: Int[np.ndarray, "trial"]
    n_bins: int
    seed: int
    conditions: Conditions
    codes: Float[np.ndarray, "trial code"] | None = None
    observed: Observed | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    distances: Float[np.ndarray, "trial"] | None = None


def chunk_seed(seed: int, number: int) -> int:
    """Seed of one of the chunks of a sample."""
    state = np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def make_plan(
    model: GenerativeModel,
    n: int,
    length: int | None,
    lengths: Int[np.ndarray, "trial"] | None,
    seed: int,
    *,
    condition: Request = None,
    context: SpikeData | Float[np.ndarray, "..."] | None = None,
    observed: Bool[np.ndarray, "..."] | None = None,
    codes: Float[np.ndarray, "trial code"] | None = None,
    **options: Any,
) -> Plan:
    """Check the arguments of ``model.sample``, and settle all that does not come from the model.

    Args:
        model: A trained model.
        n: Number of trials.
        length: Bins of every trial.
        lengths: Bins of each trial.
        seed: Seed of all that is drawn.
        condition: Requested conditions.
        context: Recorded trials to continue or to fill in, or their latents.
        observed: Mask of the observed bins of the context.
        codes: Code of each trial.
        options: Options of the prior or the observation; None leaves one as the model was configured.

    Raises:
        SpikeloomError: If the model cannot draw this.
    """
    given = {"condition": condition, "context": context, "codes": codes}
    requested = frozenset(name for name, value in given.items() if value is not None)
    options = {name: value for name, value in options.items() if value is not None}
    model._check_options(requested, **options)
    if observed is not None and context is None:
        raise DataError("observed says which bins of the context were observed, but there is no context; give both.")
    variables = model.data_spec.variables
    conditions = Conditions.shortest_period(condition, variables, n)
    if length is None and lengths is None and conditions.lengths is not None:
        lengths = np.resize(conditions.lengths, max(n, 0))
    trials = None if context is None else checked_context(context)
    if trials is not None:
        model._check_latents(trials.values) if isinstance(trials, LatentTrials) else model._check(trials)
        if length is None and lengths is None:
            lengths = context_lengths(trials, n, model._lengths(n, None, None, seed))
    lengths = model._lengths(n, length, lengths, seed)
    codes = None if codes is None else checked_codes(codes, n, model.code_size)
    known = None if trials is None else observed_part(trials, observed, lengths)
    longest = longest_of(lengths, conditions.n_trials)
    Condition.of(conditions, variables, longest, int(lengths.max()))  # refuses what no chunk could have
    distances = distances_of(model._novelty(conditions, longest), n)
    return Plan(lengths, seed, SAMPLE_CHUNK, conditions, requested, codes, known, options, distances=distances)


def number_of_trials(
    n: int | None,
    condition: Request = None,
    context: SpikeData | Float[np.ndarray, "..."] | None = None,
    codes: Float[np.ndarray, "trial code"] | None = None,
    **_: Any,
) -> int:
    """The number of new trials: ``n``, or as many as context, codes, or a table or recording of conditions have.

    Raises:
        DataError: If it is missing, or not a whole number above zero.
    """
    if n is None:
        known = None if context is None else checked_context(context).n_trials
        rows = condition if isinstance(condition, SpikeData | pd.DataFrame) else None
        numbers = [known, *(None if trials is None else len(trials) for trials in (codes, rows))]
        n = max((number for number in numbers if number is not None), default=None)
    if n is None:
        raise DataError("the number of trials is missing; say how many to generate, as in model.sample(100).")
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise DataError(f"n is {n!r}, but must be a number of trials, at least one.")
    return int(n)


def drawn_lengths(
    training: Int[np.ndarray, "training"],
    n: int,
    length: int | None,
    lengths: Int[np.ndarray, "trial"] | None,
    seed: int,
) -> Int[np.ndarray, "trial"]:
    """Bins of each new trial: as requested, or drawn from the lengths of the training trials.

    Raises:
        DataError: If there is to be no trial, or one without bins, or not one length for each trial.
    """
    if seed < 0:
        raise DataError(f"the seed is {seed}, but must not be negative.")
    if lengths is None and length is None:
        return np.random.default_rng([seed, LENGTHS_STREAM]).choice(training, n)
    lengths = np.full(n, length) if lengths is None else np.asarray(lengths)
    if len(lengths) != n or lengths.min() < 1 or (lengths != np.floor(lengths)).any():
        raise DataError(f"{n} trials need {n} whole lengths of at least one bin; got {lengths[:5]}.")
    return lengths.astype(np.int64)


def checked_codes(codes: Any, n: int, size: int) -> Float[np.ndarray, "trial code"]:
    """Codes for new trials as an array.

    Raises:
        DataError: If they are not one finite code of the model's size for each trial.
    """
    try:
        codes = np.asarray(codes, dtype=np.float32)
    except ValueError:
        raise DataError(f"codes must be a table of numbers, {n} rows of {size}; got {codes!r}.") from None
    if codes.shape != (n, size):
        raise DataError(f"{n} trials need {n} codes of {size} values; got an array of {codes.shape}.")
    if not np.isfinite(codes).all():
        bad = int((~np.isfinite(codes)).any(axis=1).argmax())
        raise DataError(f"the code of trial {bad} is {codes[bad]}, but codes must be finite.")
    return codes


def longest_of(lengths: Int[np.ndarray, "trial"], n_rows: int) -> Int[np.ndarray, "row"]:
    """Bins of the longest trial for each row of conditions, when trials take the rows in turn.

    Example:
        >>> longest_of(np.array([5, 6, 7, 4]), 3).tolist()
        [5, 6, 7]
    """
    longest = np.zeros(n_rows, dtype=np.int64)
    np.maximum.at(longest, np.arange(len(lengths)) % n_rows, lengths)
    return longest


def distances_of(novelty: ConditionNovelty | None, n: int) -> Float[np.ndarray, "row"] | None:
    """Distance of each row of conditions from those of every training trial; warns of conditions unlike all of them.

    Args:
        novelty: How far the conditions are from the training trials'; None where the model does not know these.
        n: Number of trials, which take the rows in turn.
    """
    if novelty is None:
        return None
    warning = novelty.sentence(n)
    if warning:
        warn(warning)
    return novelty.distance.astype(np.float32)


def _cut(observed: Observed, at: slice, width: int) -> Observed:
    # Copies: a view would be sent to another process with all that it is a view of.
    return mapped(observed, lambda values: values[at, :width].clone())
