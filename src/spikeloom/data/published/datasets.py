"""Published recordings that can be named instead of a file: data, not code.

A table of frozen dataclasses rather than a file of another format, so that the type checker finds misspelt names.

Windows, lags and conditions are those of the Neural Latents Benchmark (Pei et al. 2021), in its bins of 5 ms and on its
grid; numbers of neurons and trials are for comparison with a loaded recording, and nothing depends on them. Checksums
are those that the archive states when a file is fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from spikeloom.data.options import LoadOptions
from spikeloom.data.published.archives import ByHand, Dandi, Zenodo
from spikeloom.data.published.recording import PublishedRecording
from spikeloom.data.published.scoring import Scoring

BENCHMARK = (
    "Pei et al. 2021, Neural Latents Benchmark '21: evaluating latent variable models of neural population activity, "
    "arXiv:2109.04463"
)
USED = "split!=none"
"""Trials that the benchmark has a use for."""

MAZE = LoadOptions(
    bin_s=0.005,
    binning="nlb",
    align="move_onset_time",
    before_s=0.25,
    after_s=0.45,
    lag_s=0.12,
    overlap="cut",
    signals=("hand_vel",),
    direction_of="hand_vel",
    condition="trial_type,trial_version",
    where=(USED,),
)
MAZE_SCORING = Scoring(velocity="hand_vel", condition="condition", psth_sd_s=0.05)
MAZE_TASK = "macaque M1 and PMd, delayed reaches through mazes"

_MC_MAZE = PublishedRecording(
    name="mc_maze",
    what=f"{MAZE_TASK}, 108 conditions; 137 + 45 neurons, 1721 + 574 trials",
    source=Dandi("000128", "0.220113.0400"),
    files=("sub-Jenkins/sub-Jenkins_ses-full_desc-train_behavior+ecephys.nwb",),
    test_file="sub-Jenkins/sub-Jenkins_ses-full_desc-test_ecephys.nwb",
    options=replace(MAZE, lag_s=0.1),
    licence="CC-BY-4.0",
    citation="Churchland & Kaufman 2022, MC_Maze, doi:10.48324/dandi.000128/0.220113.0400; " + BENCHMARK,
    megabytes=694,
    scoring=replace(MAZE_SCORING, psth_sd_s=0.07),
)
_INDY = PublishedRecording(
    name="indy",
    what="macaque M1, self-paced reaches to random targets, 24 minutes of 2016-06-30; 96 channels",
    source=Zenodo("3854034"),
    files=("indy_20160630_01.mat",),
    layout="indy",
    options=LoadOptions(
        bin_s=0.02,
        neurons="area=M1",
        reaches="cursor_vel",
        before_s=0.2,
        after_s=0.5,
        signals=("cursor_pos", "cursor_vel", "target_pos"),
    ),
    licence="CC-BY-4.0",
    citation=(
        "O'Doherty, Cardoso, Makin & Sabes 2020, Nonhuman Primate Reaching with Multichannel Sensorimotor Cortex "
        "Electrophysiology, doi:10.5281/zenodo.3854034"
    ),
    megabytes=382,
    notes=(
        "GNOCCHI's publication does not state which session it used; another one is loaded by naming its file with "
        "--bin_s 0.02 --neurons area=M1 --reaches cursor_vel --before_s 0.2 --after_s 0.5",
        "reaches are found by the speed of the cursor, wherever the target is",
    ),
)

_ALL = (
    _MC_MAZE,
    replace(
        _MC_MAZE,
        name="mc_maze_ldns",
        what=f"{MAZE_TASK}: mc_maze in the splits of LDNS; 182 neurons, 2008 + 71 + 216 trials",
        folder="mc_maze",
        splits={
            "train": (("train", 0.0, 1.0), ("val", 0.0, 0.5)),
            "val": (("val", 0.5, 0.625),),
            "test": (("val", 0.625, 1.0),),
        },
        notes=(
            "LDNS drew its 71 validation trials at random from those that are not trained on; here they are the first "
            "of these, as for its baselines",
        ),
    ),
    replace(
        _MC_MAZE,
        name="mc_maze_large",
        what=f"{MAZE_TASK}, 27 conditions; 122 + 40 neurons, 375 + 125 trials",
        source=Dandi("000138", "0.220113.0407"),
        files=("sub-Jenkins/sub-Jenkins_ses-large_desc-train_behavior+ecephys.nwb",),
        test_file="sub-Jenkins/sub-Jenkins_ses-large_desc-test_ecephys.nwb",
        options=MAZE,
        citation="Churchland & Kaufman 2022, MC_Maze_Large, doi:10.48324/dandi.000138/0.220113.0407; " + BENCHMARK,
        megabytes=149,
        scoring=MAZE_SCORING,
    ),
    replace(
        _MC_MAZE,
        name="mc_maze_medium",
        what=f"{MAZE_TASK}, 27 conditions; 114 + 38 neurons, 188 + 62 trials",
        source=Dandi("000139", "0.220113.0408"),
        files=("sub-Jenkins/sub-Jenkins_ses-medium_desc-train_behavior+ecephys.nwb",),
        test_file="sub-Jenkins/sub-Jenkins_ses-medium_desc-test_ecephys.nwb",
        options=MAZE,
        citation="Churchland & Kaufman 2022, MC_Maze_Medium, doi:10.48324/dandi.000139/0.220113.0408; " + BENCHMARK,
        megabytes=77,
        scoring=MAZE_SCORING,
    ),
    replace(
        _MC_MAZE,
        name="mc_maze_small",
        what=f"{MAZE_TASK}, 27 conditions; 107 + 35 neurons, 75 + 25 trials",
        source=Dandi("000140", "0.220113.0408"),
        files=("sub-Jenkins/sub-Jenkins_ses-small_desc-train_behavior+ecephys.nwb",),
        test_file="sub-Jenkins/sub-Jenkins_ses-small_desc-test_ecephys.nwb",
        options=MAZE,
        citation="Churchland & Kaufman 2022, MC_Maze_Small, doi:10.48324/dandi.000140/0.220113.0408; " + BENCHMARK,
        megabytes=30,
        scoring=MAZE_SCORING,
    ),
    PublishedRecording(
        name="mc_rtt",
        what="macaque M1, self-paced reaches to random targets, windows of 0.6 s; 98 + 32 neurons, 810 + 270 trials",
        source=Dandi("000129", "0.241017.1444"),
        files=("sub-Indy/sub-Indy_desc-train_behavior+ecephys.nwb",),
        test_file="sub-Indy/sub-Indy_desc-test_ecephys.nwb",
        options=LoadOptions(
            bin_s=0.005,
            binning="nlb",
            align="start_time",
            before_s=0.0,
            after_s=0.6,
            lag_s=0.14,
            signals=("finger_vel",),
            where=(USED,),
        ),
        licence="CC-BY-4.0",
        citation="O'Doherty 2024, MC_RTT, doi:10.48324/dandi.000129/0.241017.1444; " + BENCHMARK,
        megabytes=51,
        scoring=Scoring(velocity="finger_vel"),
    ),
    PublishedRecording(
        name="area2_bump",
        what="macaque S1 (area 2), active and passive reaches, 16 conditions; 49 + 16 neurons, 272 + 92 trials",
        source=Dandi("000127", "0.220113.0359"),
        files=("sub-Han/sub-Han_desc-train_behavior+ecephys.nwb",),
        test_file="sub-Han/sub-Han_desc-test_ecephys.nwb",
        options=LoadOptions(
            bin_s=0.005,
            binning="nlb",
            align="move_onset_time",
            before_s=0.1,
            after_s=0.5,
            lag_s=-0.02,
            overlap="cut",
            signals=("hand_vel",),
            condition="cond_dir,ctr_hold_bump",
            where=(USED,),
        ),
        licence="CC-BY-4.0",
        citation="Chowdhury & Miller 2022, Area2_Bump, doi:10.48324/dandi.000127/0.220113.0359; " + BENCHMARK,
        megabytes=1820,
        scoring=Scoring(velocity="hand_vel", apart="ctr_hold_bump", condition="condition", psth_sd_s=0.04),
    ),
    PublishedRecording(
        name="dmfc_rsg",
        what="macaque DMFC, intervals produced from memory, 40 conditions; 40 + 14 neurons, 741 + 248 trials",
        source=Dandi("000130", "0.220113.0407"),
        files=("sub-Haydn/sub-Haydn_desc-train_ecephys.nwb",),
        test_file="sub-Haydn/sub-Haydn_desc-test_ecephys.nwb",
        options=LoadOptions(
            bin_s=0.005,
            binning="nlb",
            align="go_time",
            before_s=1.5,
            after_s=0.0,
            jitter_s=0.3,
            jitter_room="tp",
            scored="set_time,go_time",
            condition="is_eye,theta,is_short,ts",
            where=(USED,),
        ),
        licence="CC-BY-4.0",
        citation="Sohn & Jazayeri 2022, DMFC_RSG, doi:10.48324/dandi.000130/0.220113.0407; " + BENCHMARK,
        megabytes=16,
        scoring=Scoring(
            condition="condition",
            psth_sd_s=0.07,
            interval="tp",
            within=("is_eye", "theta", "is_short"),
            outliers="is_outlier",
        ),
        notes=(
            "windows end up to 0.3 s after go, see jitter_bins; scores regard the bins from set to go only, see "
            "scored_from_bin and scored_to_bin",
            "that tp is in milliseconds, and known of all trials but those of the test file, was taken from how the "
            "benchmark uses it, not found in the file",
        ),
    ),
    _INDY,
    PublishedRecording(
        name="human_speech",
        what="human ventral premotor cortex, attempted speech of sentences; 128 electrodes, 8417 + 213 + 640",
        source=ByHand(
            "https://doi.org/10.5061/dryad.x69p8czpq",
            "download competitionData.tar.gz and unpack it into",
        ),
        files=("competitionData/train", "competitionData/test"),
        layout="speech",
        options=LoadOptions(bin_s=0.02, neurons="area=6v", where=("length<=512",)),
        splits={
            "train": (("train", 0.0, 1.0),),
            "val": (("test", 0.0, 0.25),),
            "test": (("test", 0.25, 1.0),),
        },
        licence="CC0-1.0",
        citation=(
            "Willett et al. 2023, A high-performance speech neuroprosthesis, Nature; doi:10.5061/dryad.x69p8czpq; "
            "splits of Kapoor et al. 2024 (LDNS)"
        ),
        megabytes=3670,
        notes=(
            "the reader is written from the description that is published with the files, and was tested without them",
        ),
    ),
)

PUBLISHED: Mapping[str, PublishedRecording] = {recording.name: recording for recording in _ALL}
"""Published recordings by name."""
