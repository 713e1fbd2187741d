"""The frame of every benchmark: a folder of results that a later call continues, written after every measurement."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

from spikeloom.atomic import atomic
from spikeloom.bench.records import AnyRecord, typed
from spikeloom.data.options import LoadOptions
from spikeloom.data.sources import is_run, load_source
from spikeloom.data.spikedata import SpikeData, content_hash
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError, RunError
from spikeloom.locks import locked
from spikeloom.migrations import upgraded
from spikeloom.progress import Progress
from spikeloom.training.engine import Engine
from spikeloom.training.run import Run, environment, strict_json

SUBJECTS = "subjects"
"""Entry of a setting with what is compared, by name."""

Item = TypeVar("Item")
P = ParamSpec("P")
R = TypeVar("R")


def locking_out(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which locks the folder that is its argument ``out`` while it runs.

    Two of them would each write a record without the results of the other. The function raises a RunError where another
    process works in the folder.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def alone(*args: P.args, **kwargs: P.kwargs) -> R:
        with locked(signature.bind(*args, **kwargs).arguments["out"]):
            return function(*args, **kwargs)

    return alone


@dataclass(frozen=True)
class Benchmark(Generic[AnyRecord]):
    """A benchmark: what its results are, and how they are shown.

    Attributes:
        name: Of its files in the folder of results.
        record: Type of its record.
        page: The record as a page of tables in Markdown.
        draw: Writes the figures of a record into the folder of results.
        subjects: All that can be compared, in the order of the tables, with the model that each trains (empty if
            none); where there are any, a later call may add some.
    """

    name: str
    record: type[AnyRecord]
    page: Callable[[AnyRecord], str]
    draw: Callable[[AnyRecord, Path], None] | None = None
    subjects: Mapping[str, str] = field(default_factory=dict)

    def refuse_occupied(self, out: Path) -> None:
        """Refuse a folder of something else than results of this benchmark.

        Raises:
            RunError: If no results can be written there.
        """
        if not (out / f"{self.name}.json").is_file():
            Run.refuse_occupied(out)

    def chosen(self, names: Sequence[str] | None) -> list[str]:
        """Names of the subjects to measure, in the order of the tables; all when none are named.

        Raises:
            ConfigError: If there is no subject of a name.
        """
        unknown = [name for name in names or () if name not in self.subjects]
        if unknown:
            raise ConfigError(f"there is no model '{unknown[0]}' to measure; choose of {', '.join(self.subjects)}.")
        return [name for name in self.subjects if not names or name in names]

    def continued(self, out: Path, setting: Mapping[str, Any]) -> AnyRecord:
        """The record in a folder of the same benchmark; an empty one where the folder holds none.

        Args:
            out: The folder.
            setting: What decides the numbers.

        Raises:
            RunError: If the folder holds results of another setting or an older version, or a damaged file.
        """
        path = out / f"{self.name}.json"
        if not path.is_file():
            return self.record(setting)
        content = Run(out).read_json(path.name)
        try:
            record: AnyRecord = typed(self.record, content)
            earlier = dict(record.setting)
            subjects = self._present_names(earlier[SUBJECTS], path) if self.subjects else {}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(_unreadable(path, content, error)) from error
        now = json.loads(strict_json(setting))
        if not self.subjects:
            refuse_other(out, earlier, now)
            return record
        every = subjects | now[SUBJECTS]
        both = [name for name in now[SUBJECTS] if name in subjects]
        refuse_other(
            out,
            earlier | {SUBJECTS: {name: subjects[name] for name in both}},
            now | {SUBJECTS: {name: now[SUBJECTS][name] for name in both}},
        )
        merged = {name: every[name] for name in self.subjects if name in every}
        return replace(record, setting=now | {SUBJECTS: merged})

    def _present_names(self, subjects: Mapping[str, Any], path: Path) -> dict[str, Any]:
        """Subjects of a setting, with the present names of the fields of their configurations."""
        result = {}
        for name, subject in subjects.items():
            config = subject.get("config", subject)
            renamed = upgraded(self.subjects.get(name, ""), config, str(path)) if config else config
            result[name] = subject | {"config": renamed} if "config" in subject else renamed
        return result

    def run(
        self,
        record: AnyRecord,
        out: Path,
        items: Sequence[Item],
        measure: Callable[[AnyRecord, Item], AnyRecord],
        label: Callable[[Item], str],
        prepare: Callable[[AnyRecord], AnyRecord] | None = None,
        device: str | None = None,
    ) -> AnyRecord:
        """Measure what is left, and write the record, its page and its figures after every item.

        Args:
            record: What has been measured.
            out: Folder of results.
            items: What is left to be measured, in this order.
            measure: Adds the results of an item to a record.
            label: Name of an item for the progress.
            prepare: Adds what is measured once, before the items.
            device: Where models run, noted with the command; not where the setting names the machine.

        Returns:
            The record with everything in it.
        """
        if items or prepare is not None:
            commands = (*record.commands, command(device))  # type: ignore[attr-defined]
            record = replace(record, commands=commands)
            self.write(record, out, with_page=False)  # first, so that a folder that was cut is recognised
            with Progress("measuring", len(items)) as progress:
                if prepare is not None:
                    progress.at(0, "references")
                    record = prepare(record)
                    self.write(record, out)
                for i, item in enumerate(items):
                    progress.at(i, label(item))
                    record = measure(record, item)
                    self.write(record, out)
                    progress.at(i + 1)
        self.write(record, out)
        return record

    def write(self, record: AnyRecord, out: Path, with_page: bool = True) -> None:
        """Write JSON, page and figures, all of each or nothing."""
        out.mkdir(parents=True, exist_ok=True)
        Run(out).write_json(f"{self.name}.json", record.to_dict())
        if not with_page:
            return
        with atomic(out / f"{self.name}.md") as temporary:
            temporary.write_text(self.page(record))
        if self.draw is not None:
            self.draw(record, out)


def _unreadable(path: Path, content: Any, error: Exception) -> str:
    """The error about a file that is no record: one with a setting was whole once, but lacks a field of today."""
    if isinstance(error, KeyError) and "setting" in content:
        return f"{path} was measured by an older version (without {error}): delete {path.name}, trained runs are kept."
    return f"{path} is damaged ({error!r}); delete it, or choose another --out."


def refuse_other(out: Path, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to continue a benchmark that was begun with another setting.

    Raises:
        RunError: At the first value that differs.
    """
    old, new = leaves(json.loads(strict_json(earlier))), leaves(now)
    differing = next((name for name in {**new, **old} if old.get(name) != new.get(name)), None)
    if differing is not None:
        raise RunError(
            f"{out} holds a benchmark with {differing} {old.get(differing)!r}, but now it is {new.get(differing)!r}; "
            "choose another --out, or measure again as it was begun."
        )


def leaves(content: Any, prefix: str = "") -> dict[str, Any]:
    """Plain values by dotted name.

    Example:
        >>> leaves({"runs": [{"label": "a"}], "seed": 0})
        {'runs.0.label': 'a', 'seed': 0}
    """
    if not isinstance(content, Mapping | list):
        return {prefix: content}
    items = content.items() if isinstance(content, Mapping) else enumerate(content)
    return {k: v for name, value in items for k, v in leaves(value, f"{prefix}.{name}".lstrip(".")).items()}


def training_recording(source: str, reading: LoadOptions) -> SpikeData:
    """A recording on which models can be trained, with splits.

    Raises:
        DataError: If the source is a run folder, or cannot be read.
    """
    if is_run(source):
        raise DataError(
            f"{source} is a folder; models are trained on a recording, not on a run: a file, or a data set."
        )
    return with_default_splits(load_source(source, reading))


def recording_setting(data: SpikeData, source: str, reading: LoadOptions) -> dict[str, Any]:
    """The recording, as a setting describes it."""
    return {
        "source": Path(source).name,
        "reading": reading.to_dict(),
        "hash": content_hash(data),
        "summary": f"{data.n_trials} trials, {data.n_neurons} neurons, bins of {data.bin_s * 1e3:g} ms",
        "splits": {name: len(rows) for name, rows in data.splits.items()},
    }


def command(device: str | None = None) -> dict[str, Any]:
    """Date and command of this call, and the machine where a device is named."""
    place = "" if device is None else Engine(device=device).fabric().device.type
    facts = environment(0, place, "")
    found = {"date": facts["date"], "command": facts["command"]}
    if device is None:
        return found
    packages = facts["packages"]
    machine = f"{place}, {facts['cpu_count']} cores, torch {packages['torch']}, spikeloom {packages['spikeloom']}"
    return found | {"machine": machine}
