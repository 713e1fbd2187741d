"""Links of HDF5 and NWB files: those within the folder are followed and told, others refused; circles end."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import spikeloom as sl
from spikeloom.data.formats.storage import guard
from spikeloom.errors import DataError

TIMES = np.sort(np.random.default_rng(0).uniform(0, 20, 400))
SPIKES = {
    "units/spike_times": TIMES,
    "units/spike_times_index": np.array([100, 400]),
    "intervals/trials/start_time": np.arange(10.0),
    "intervals/trials/stop_time": np.arange(10.0) + 0.5,
    "processing/behavior/hand/data": np.arange(2000.0),
    "processing/behavior/hand/timestamps": np.arange(2000) * 0.01,
}


@pytest.fixture(autouse=True)
def _no_guard(monkeypatch) -> None:
    monkeypatch.setattr(guard, "_try", lambda path: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "recordings"
    place.mkdir()
    return place


def write(path: Path, **changes: object) -> Path:
    """A session, of which items may be replaced."""
    with h5py.File(path, "w") as file:
        for name, values in (SPIKES | changes).items():
            if values is not None:
                file[name] = values
    return path


def spikes_elsewhere(folder: Path, elsewhere: str, link: object = None) -> Path:
    with h5py.File(folder / elsewhere, "w") as file:
        file["times"] = TIMES
    link = h5py.ExternalLink(elsewhere, "times") if link is None else link
    return write(folder / "a.nwb", **{"units/spike_times": link})


def virtual(path: Path, source: str) -> Path:
    layout = h5py.VirtualLayout(TIMES.shape, np.float64)
    layout[...] = h5py.VirtualSource(source, "times", TIMES.shape)
    with h5py.File(write(path, **{"units/spike_times": None}), "a") as file:
        file.create_virtual_dataset("units/spike_times", layout)
    return path


def notes_of(data: sl.SpikeData) -> str:
    return "; ".join(data.provenance["notes"])


class TestNWB:
    def test_a_file_without_links_says_nothing_of_them(self, folder) -> None:
        said = notes_of(sl.load(write(folder / "a.nwb")))
        assert "link" not in said
        assert "another file" not in said

    def test_spikes_through_an_external_link(self, folder) -> None:
        data = sl.load(spikes_elsewhere(folder, "sorted.h5"))
        np.testing.assert_array_equal(data.counts, sl.load(write(folder / "whole.nwb")).counts)
        assert "times is read from another file beside this one, sorted.h5" in notes_of(data)

    def test_spikes_of_a_virtual_array(self, folder) -> None:
        spikes_elsewhere(folder, "sorted.h5")
        data = sl.load(virtual(folder / "b.nwb", "sorted.h5"))
        np.testing.assert_array_equal(data.counts, sl.load(write(folder / "whole.nwb")).counts)
        assert "units/spike_times is read from another file beside this one, sorted.h5" in notes_of(data)

    def test_links_within_the_file(self, folder) -> None:
        links = {"units/spike_times": h5py.SoftLink("/analysis/times"), "analysis/times": TIMES}
        shared = {
            "processing/behavior/hand/timestamps": h5py.SoftLink("/analysis/clock"),
            "analysis/clock": np.arange(2000) * 0.01,
        }
        said = notes_of(sl.load(write(folder / "a.nwb", **links, **shared)))
        assert "links were followed: units/spike_times to /analysis/times" in said
        assert "timestamps" not in said  # NWB itself shares them so

    def test_a_signal_in_another_file(self, folder) -> None:
        with h5py.File(folder / "video.h5", "w") as file:
            file["x"] = np.arange(2000.0)
        path = write(folder / "a.nwb", **{"processing/behavior/hand/data": h5py.ExternalLink("video.h5", "x")})
        assert "x is read from another file beside this one, video.h5" in notes_of(sl.load(path))

    @pytest.mark.parametrize("how", ["external", "virtual", "soft and external"])
    def test_spikes_outside_of_the_folder_are_refused(self, folder, how) -> None:
        with h5py.File(folder.parent / "secret.h5", "w") as file:
            file["times"] = TIMES
        path = folder / "a.nwb"
        if how == "virtual":
            virtual(path, "../secret.h5")
        else:
            link = h5py.ExternalLink("../secret.h5", "times")
            soft = {"units/spike_times": h5py.SoftLink("/analysis/times"), "analysis/times": link}
            write(path, **({"units/spike_times": link} if how == "external" else soft))
        with pytest.raises(DataError, match=r"outside of the folder, \.\./secret\.h5"):
            sl.load(path)

    def test_an_external_link_to_what_leads_out_of_the_folder(self, folder) -> None:
        with h5py.File(folder.parent / "secret.h5", "w") as file:
            file["times"] = TIMES
        with h5py.File(folder / "between.h5", "w") as file:
            file["times"] = h5py.ExternalLink("../secret.h5", "times")
        path = write(folder / "a.nwb", **{"units/spike_times": h5py.ExternalLink("between.h5", "times")})
        with pytest.raises(DataError, match=r"outside of the folder, \.\./secret\.h5"):
            sl.load(path)

    def test_what_a_file_says_of_itself_is_its_own(self, folder) -> None:
        with h5py.File(folder.parent / "secret.h5", "w") as file:
            file["notes"] = '{"spikeloom_nwb": 1, "bin_s": 0.5, "provenance": {"secret": 1}}'
        path = write(folder / "a.nwb", **{"general/notes": h5py.ExternalLink("../secret.h5", "notes")})
        assert "secret" not in sl.load(path).provenance


def circle(folder: Path, ending: str) -> Path:
    """Two files, in each of which the counts or spikes are a link to the other."""
    name = "units/spike_times" if ending == ".nwb" else "counts"
    for one, other in (("a", "b"), ("b", "a")):
        path = write(folder / f"{one}{ending}", **{"units/spike_times": None})
        with h5py.File(path, "a") as file:
            file[name] = h5py.ExternalLink(f"{other}{ending}", name)
    return folder / f"a{ending}"


class TestCircles:
    def test_of_files(self, folder) -> None:
        with pytest.raises(DataError, match="leads in a circle"):
            sl.load(circle(folder, ".nwb"))

    def test_of_files_of_arrays(self, folder) -> None:
        with pytest.raises(DataError, match=r"counts"):
            sl.load(circle(folder, ".h5"))

    def test_of_soft_links(self, folder) -> None:
        links = {"units/spike_times": h5py.SoftLink("/analysis/x"), "analysis/x": h5py.SoftLink("/units/spike_times")}
        with pytest.raises(DataError, match="leads in a circle"):
            sl.load(write(folder / "a.nwb", **links))

    def test_of_groups(self, folder) -> None:
        path = write(folder / "a.nwb")
        with h5py.File(path, "a") as file:
            file["processing/behavior/again"] = file["processing"]
            file["processing/behavior/soft"] = h5py.SoftLink("/processing/behavior")
        assert sl.load(path).signals["hand"].values.shape[-1] == 1

    def test_of_virtual_arrays(self, folder) -> None:
        for one, other in (("a.nwb", "b.nwb"), ("b.nwb", "a.nwb")):
            layout = h5py.VirtualLayout(TIMES.shape, np.float64)
            layout[...] = h5py.VirtualSource(other, "units/spike_times", TIMES.shape)
            with h5py.File(write(folder / one, **{"units/spike_times": None}), "a") as file:
                file.create_virtual_dataset("units/spike_times", layout)
        with pytest.raises(DataError, match="lead in a circle"):
            sl.load(folder / "a.nwb")
