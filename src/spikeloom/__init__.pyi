"""Public names: a line each, ``from MODULE import ATTRIBUTE as NAME``; ``__init__.py`` reads them from here."""

# ruff: noqa: I001  # every import is public; they stand in groups

# Data
from spikeloom.data.codes import codes_in as codes_in
from spikeloom.data.converters.neo import from_neo as from_neo
from spikeloom.data.converters.pynapple import from_pynapple as from_pynapple
from spikeloom.data.converters.spike_times import from_spike_times as from_spike_times
from spikeloom.data.converters.spikeinterface import from_spikeinterface as from_spikeinterface
from spikeloom.data.converters.xarray import from_xarray as from_xarray
from spikeloom.data.files import save as save
from spikeloom.data.holdout import hold_out as hold_out
from spikeloom.data.loading import load as load
from spikeloom.data.options import LoadOptions as LoadOptions
from spikeloom.data.reaches import cut_reaches as cut_reaches
from spikeloom.data.signal import Signal as Signal
from spikeloom.data.simulated.center_out import center_out as center_out
from spikeloom.data.simulated.lorenz import lorenz as lorenz
from spikeloom.data.simulated.reaching import make_reaching as make_reaching
from spikeloom.data.spikedata import SpikeData as SpikeData

# Models
from spikeloom.models import load_model as load_model
from spikeloom.models import register as register
from spikeloom.models.base import GenerativeModel as GenerativeModel
from spikeloom.models.code_autoencoder import CodeAutoencoder as CodeAutoencoder
from spikeloom.models.eag import EAG as EAG
from spikeloom.models.gaussian import GaussianLatents as GaussianLatents
from spikeloom.models.gnocchi import GNOCCHI as GNOCCHI
from spikeloom.models.ldns import LDNS as LDNS
from spikeloom.models.lfads import LFADS as LFADS
from spikeloom.models.live import Live as Live
from spikeloom.models.multi_session import MultiSession as MultiSession
from spikeloom.models.pivae import PiVAE as PiVAE
from spikeloom.models.pretrained import from_pretrained as from_pretrained
from spikeloom.models.pretrained import pretrained as pretrained
from spikeloom.models.presets import Preset as Preset
from spikeloom.models.presets import presets as presets
from spikeloom.models.stream import Stream as Stream
from spikeloom.models.tndm import TNDM as TNDM
from spikeloom.training.engine import Engine as Engine
from spikeloom.training.run import Run as Run
from spikeloom.training.trackers import Tracker as Tracker
from spikeloom.workflow.fitting import fit as fit
from spikeloom.workflow.fitting import resume as resume
from spikeloom.workflow.traversal import Traversal as Traversal
from spikeloom.workflow.traversal import navigate as navigate
from spikeloom.workflow.traversal import write_traversal as write_traversal

# Configurations
from spikeloom.models.autoencoder import AutoencoderConfig as AutoencoderConfig
from spikeloom.models.code import EncoderConfig as EncoderConfig
from spikeloom.models.code_autoencoder import CodeAutoencoderConfig as CodeAutoencoderConfig
from spikeloom.models.code_autoencoder import CodeDecoderConfig as CodeDecoderConfig
from spikeloom.models.eag import EAGConfig as EAGConfig
from spikeloom.models.gaussian import GaussianConfig as GaussianConfig
from spikeloom.models.gnocchi import GNOCCHIConfig as GNOCCHIConfig
from spikeloom.models.held_out_inputs import HeldOutInputsConfig as HeldOutInputsConfig
from spikeloom.models.ldns import LDNSConfig as LDNSConfig
from spikeloom.models.lfads_config import ControllerConfig as ControllerConfig
from spikeloom.models.lfads_config import L2Config as L2Config
from spikeloom.models.lfads_config import LFADSConfig as LFADSConfig
from spikeloom.models.live import LiveConfig as LiveConfig
from spikeloom.models.sessions.config import SessionConfig as SessionConfig
from spikeloom.models.pivae_config import PiVAEConfig as PiVAEConfig
from spikeloom.models.tndm_config import TNDMConfig as TNDMConfig
from spikeloom.models.tndm_config import WeightConfig as WeightConfig
from spikeloom.models.tndm_config import WeightsConfig as WeightsConfig
from spikeloom.observation.history import HistoryConfig as HistoryConfig
from spikeloom.priors.causal import CausalConfig as CausalConfig
from spikeloom.priors.code_diffusion import CodeDiffusionConfig as CodeDiffusionConfig
from spikeloom.priors.diffusion import DiffusionConfig as DiffusionConfig
from spikeloom.priors.energy import EnergyConfig as EnergyConfig
from spikeloom.priors.mmd import MMDConfig as MMDConfig
from spikeloom.training.stages import StageConfig as StageConfig

# Spikes from the rates of any model
from spikeloom.observation.resample import fit_calibrated as fit_calibrated
from spikeloom.observation.resample import fit_history as fit_history
from spikeloom.observation.resample import resample_counts as resample_counts

# Evaluation
from spikeloom.decoding.gru import GRU as GRU
from spikeloom.decoding.kalman import Kalman as Kalman
from spikeloom.decoding.label import LabelDecoder as LabelDecoder
from spikeloom.evaluation.decoder_scores import score_decoder as score_decoder
from spikeloom.decoding.ridge import LaggedRidge as LaggedRidge
from spikeloom.evaluation.code_map import LinearMap as LinearMap
from spikeloom.evaluation.compare import compare as compare
from spikeloom.evaluation.results import Comparison as Comparison
from spikeloom.evaluation.results import MetricResult as MetricResult
from spikeloom.evaluation.augmentation_study import augmentation_study as augmentation_study
from spikeloom.report.page import write_report as write_report

# Plots: raster, psth, tuning, intervals, correlations, latents, spectrum, scores
from spikeloom import plot as plot

# Errors
from spikeloom.errors import ConfigError as ConfigError
from spikeloom.errors import DataError as DataError
from spikeloom.errors import NotFittedError as NotFittedError
from spikeloom.errors import RunError as RunError
from spikeloom.errors import SpikeloomError as SpikeloomError
from spikeloom.errors import SpikeloomWarning as SpikeloomWarning

__version__: str
