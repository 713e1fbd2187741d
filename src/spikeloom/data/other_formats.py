"""Files and folders of other programs that are not read: what they are, and how their spikes get here."""

from __future__ import annotations

import re
from pathlib import Path

_NEO = "read this one with neo, neo.io.get_io(file).read_block(), and pass the Block to `spikeloom.from_neo`"
_SORTED = "sort its spikes, and name the folder of the sorter"
_SORTING = "load this one with spikeinterface, and pass the sorting to `spikeloom.from_spikeinterface`"
_SAFE = "save its arrays with numpy.savez, or pass them to `spikeloom.from_spike_times`"
_ENDINGS = {
    "plx pl2 nev nex nex5 smr smrx nse ntt nst tsq tbk tev tsx mcd axgx": f"are of a recording system: {_NEO}",
    "ns1 ns2 ns3 ns4 ns5 ns6 rhd rhs abf ncs continuous dat bin raw cbin sev oebin meta": f"hold voltages: {_SORTED}",
    "pkl pickle joblib dill": f"are pickles of Python, which can run code and are never loaded: {_SAFE}",
    "xlsx xls ods numbers": "are of a spreadsheet: save the sheet as .csv",
    "json jsonl yaml yml xml": f"hold no table: write one with the columns unit and time_s (.csv), or {_SAFE}",
    "feather arrow orc": "are tables of another kind: save this one as .parquet",
    "nc nc4 cdf": "are of netCDF: open this one with xarray.open_dataset, and pass that to `spikeloom.from_xarray`",
    "mda kwik kwx": f"are of a sorter: {_SORTING}",
    "t t64 t32": "are of MClust: load the times in MATLAB, and save a cell with those of each neuron (.mat)",
    "gz zip tar bz2 xz 7z tgz": "are compressed: unpack this one, and name what is in it",
    "rds rdata rda": "are of R: write the table with write.csv, or as Parquet",
}
_KNOWN = {f".{ending}": advice for endings, advice in _ENDINGS.items() for ending in endings.split()}
_NEUROSCOPE = re.compile(r".+\.(res|clu|fet|spk)(\.\d+)?")
_FOLDERS = (
    (
        ("spks.npy", "iscell.npy", "Fneu.npy"),
        "is of suite2p, whose activity of imaging is no spikes",
    ),
    (("numpysorting_info.json", "si_folder.json", "spikeinterface_info.json"), f"is of spikeinterface: {_SORTING}"),
    (("structure.oebin", "settings.xml"), f"is a recording of Open Ephys, without sorted spikes: {_SORTED}"),
    (("analysis.h5", "firings.mda"), f"is of a sorter: {_SORTING}"),
)
DEEPEST = 4
"""Levels of folders that are searched for such a file."""


def advice_on_file(path: Path) -> str:
    """Kind of a file whose ending is not read, and what to do; empty where its ending says nothing.

    Example:
        >>> advice_on_file(Path("session.xlsx"))
        'are of a spreadsheet: save the sheet as .csv'
    """
    if _NEUROSCOPE.fullmatch(path.name):
        return f"are of NeuroScope: {_SORTING}, or write a table with the columns unit and time_s (.csv)"
    return _KNOWN.get(path.suffix.lower(), "")


def advice_on_folder(folder: Path) -> str:
    """Kind of a folder that is no recording, by a file in it or below it; empty where none says it."""
    for path in _files(folder, DEEPEST):
        for names, advice in _FOLDERS:
            if path.name in names:
                where = "" if path.parent == folder else f" (by {path.relative_to(folder)})"
                return f"it {advice}{where}"
        if path.name.startswith("continuous_") or _NEUROSCOPE.fullmatch(path.name):
            return f"it is of {'NeuroScope' if _NEUROSCOPE.fullmatch(path.name) else 'a recording system'}: {_SORTING}"
    return ""


def _files(folder: Path, deepest: int) -> list[Path]:
    """The files of a folder, then those below it."""
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        return []
    found = [path for path in inside if path.is_file()]
    for path in inside:
        if deepest and path.is_dir() and not path.name.startswith("."):
            found += _files(path, deepest - 1)
    return found
