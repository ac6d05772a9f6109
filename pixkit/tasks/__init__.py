"""The uses of a trained model: arguments and results of pixkit's top-level verbs."""

from pixkit.tasks.complete import Completion, complete_each
from pixkit.tasks.compress import Compressed, codec_of
from pixkit.tasks.conditional import conditional_nats
from pixkit.tasks.decompress import Contents, Decompressed, contents
from pixkit.tasks.drawer import DrawingOptions
from pixkit.tasks.export import Exported, export_run
from pixkit.tasks.inputs import read_images, read_mask
from pixkit.tasks.latents import Reconstruction
from pixkit.tasks.masks import hide_box, hide_random, keep_edge
from pixkit.tasks.sampled import Sampled
from pixkit.tasks.score import active_units
from pixkit.tasks.scores import Scores
from pixkit.tasks.timing import Row, SamplingTimes, time_sampling
from pixkit.tasks.upscale import Upscaling, upscale_each

__all__ = [
    "Completion",
    "Compressed",
    "Contents",
    "Decompressed",
    "DrawingOptions",
    "Exported",
    "Reconstruction",
    "Row",
    "Sampled",
    "SamplingTimes",
    "Scores",
    "Upscaling",
    "active_units",
    "codec_of",
    "complete_each",
    "conditional_nats",
    "contents",
    "export_run",
    "hide_box",
    "hide_random",
    "keep_edge",
    "read_images",
    "read_mask",
    "time_sampling",
    "upscale_each",
]
