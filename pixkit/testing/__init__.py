"""The contract kit: one call checks a component against all of its contract with pixkit.

Each check raises AssertionError with the promise that fails. Checks work in float64 with enlarged random weights, so
that layers initialised at zero hide nothing, and a wrong order shows in the probabilities.
"""

from pixkit.testing.activations import check_activation
from pixkit.testing.backbones import (
    ODD,
    check_backbone,
    check_batches,
    check_conditional,
    check_conditions,
    check_context,
    check_features,
    check_reorders,
    check_save_load,
    check_trains,
    supported_orderings,
)
from pixkit.testing.causality import check_causality, check_gradients, influence, permitted
from pixkit.testing.conditioners import check_conditioner
from pixkit.testing.configs import check_config, resolve
from pixkit.testing.data import check_data
from pixkit.testing.encodings import check_encoding
from pixkit.testing.heads import check_head
from pixkit.testing.initialisers import check_initialiser
from pixkit.testing.latents import check_latent_model
from pixkit.testing.layers import check_layer
from pixkit.testing.likelihood import check_frequencies, check_normalised, check_sampling, numbered
from pixkit.testing.models import check_capabilities, check_model
from pixkit.testing.norms import check_norm
from pixkit.testing.operations import check_operation
from pixkit.testing.optimisers import check_optimiser, check_schedule
from pixkit.testing.orderings import check_mask, check_ordering
from pixkit.testing.parts import (
    COLOUR,
    GREY,
    TINY,
    PlainBackbone,
    component,
    every_image,
    named,
    network,
    plain_backbone,
    random_images,
    randomise,
)
from pixkit.testing.samplers import check_agreement, check_known, check_manners, check_sampler, check_stateless
from pixkit.testing.trackers import check_tracker

__all__ = [
    "COLOUR",
    "GREY",
    "ODD",
    "TINY",
    "PlainBackbone",
    "check_activation",
    "check_agreement",
    "check_backbone",
    "check_batches",
    "check_capabilities",
    "check_causality",
    "check_conditional",
    "check_conditioner",
    "check_conditions",
    "check_config",
    "check_context",
    "check_data",
    "check_encoding",
    "check_features",
    "check_frequencies",
    "check_gradients",
    "check_head",
    "check_initialiser",
    "check_known",
    "check_latent_model",
    "check_layer",
    "check_manners",
    "check_mask",
    "check_model",
    "check_norm",
    "check_normalised",
    "check_operation",
    "check_optimiser",
    "check_ordering",
    "check_reorders",
    "check_sampler",
    "check_sampling",
    "check_save_load",
    "check_schedule",
    "check_stateless",
    "check_tracker",
    "check_trains",
    "component",
    "every_image",
    "influence",
    "named",
    "network",
    "numbered",
    "permitted",
    "plain_backbone",
    "random_images",
    "randomise",
    "resolve",
    "supported_orderings",
]
