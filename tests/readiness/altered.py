"""Modules that do something else than what their class is known for, planted in a backbone."""

import torch
from hidden import mean
from leaks import Base
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from pixkit.layers import CausalAttention, ConcatenatedELU, MaskedConv2d
from pixkit.layers.base import PointwiseLayer


def mixed(h):
    return h + h.mean((2, 3), keepdim=True)


class Planted(Base):
    """Calls a module `bad` that `make` makes."""

    make = None

    def plant(self, spec):
        self.bad = type(self).make(spec)


class Wave(PointwiseLayer):
    def forward(self, x):
        return torch.sin(3 * x) + x


class MixingConv(nn.Conv2d):
    def forward(self, x):
        return mixed(super().forward(x))


class MixingPReLU(nn.PReLU):
    def forward(self, x):
        return mixed(super().forward(x))


class MixingNorm(nn.BatchNorm2d):
    def forward(self, x):
        return mixed(super().forward(x))


class HelpedConv(nn.Conv2d):
    """Its forward is torch's, which calls this."""

    def _conv_forward(self, x, weight, bias):
        return mixed(super()._conv_forward(x, weight, bias))


class MixingMasked(MaskedConv2d):
    def forward(self, x):
        return mixed(super().forward(x))


class Reaching(MaskedConv2d):
    """Gives another forward than its class has."""

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        return (lambda x: mixed(found(x))) if name == "forward" else found


class HalfSaid(MaskedConv2d):
    """Says site by site what it gives, and not what that needs."""

    def forward(self, x):
        return mixed(super().forward(x))

    def at(self, group, groups, sites, inputs, state):
        return 2 * super().at(group, groups, sites, inputs, state)


class MixingAttention(CausalAttention):
    def forward(self, query, key, value):
        return mixed(super().forward(query, key, value))


class Doubled(nn.Module):
    def forward(self, weight):
        return weight * 2


def hooked(module, part=lambda module: module):
    part(module).register_forward_hook(lambda module, args, out: mixed(out))
    return module


def prehooked(module):
    module.register_forward_pre_hook(lambda module, args: (mixed(args[0]),))
    return module


def hooked_in_place(module):
    """Gives nothing, and changes what it is given."""

    def hook(module, args, out):
        out.data.add_(mean(out))

    module.register_forward_hook(hook)
    return module


def prehooked_in_place(module):
    """Gives nothing, and changes what the module is given, unseen by torch."""

    def hook(module, args):
        args[0].data.add_(mean(args[0]))

    module.register_forward_pre_hook(hook)
    return module


def hooked_for_some(module):
    """Gives what the module gave for two images, as a trace has, and something else for others."""
    module.register_forward_hook(lambda module, args, out: out if len(out) == 2 else mixed(out))
    return module


def assigned(module):
    forward = module.forward
    module.forward = lambda x: mixed(forward(x))
    return module


def doubled(module):
    parametrize.register_parametrization(module, "weight", Doubled())
    return module


def masked(cls, spec):
    return cls(6, 6, 3, "B", spec.ordering)


def planted(name, make):
    return type(name, (Planted,), {"make": staticmethod(make)})


ALTERED = [
    (planted("Hook", lambda spec: hooked(nn.ELU())), "backbone.bad (ELU, changed by a hook)"),
    (planted("PreHook", lambda spec: prehooked(nn.ELU())), "backbone.bad (ELU, changed by a hook)"),
    (planted("InPlaceHook", lambda spec: hooked_in_place(nn.ELU())), "backbone.bad (ELU, changed by a hook)"),
    (planted("InPlacePreHook", lambda spec: prehooked_in_place(nn.ELU())), "backbone.bad (ELU, changed by a hook)"),
    (planted("SomeHook", lambda spec: hooked_for_some(nn.ELU())), "backbone.bad (ELU, changed by a hook)"),
    (planted("HookedDense", lambda spec: hooked(nn.Conv2d(6, 6, 1))), "backbone.bad (Conv2d, changed by a hook)"),
    (planted("HookedNorm", lambda spec: hooked(nn.BatchNorm2d(6))), "backbone.bad (BatchNorm2d, changed by a hook)"),
    (planted("Assigned", lambda spec: assigned(nn.ELU())), "backbone.bad (ELU)"),
    (planted("AssignedPointwise", lambda spec: assigned(Wave())), "backbone.bad (Wave)"),
    (planted("HookedPointwise", lambda spec: hooked(Wave())), "backbone.bad (Wave, changed by a hook)"),
    (
        planted("Parametrised", lambda spec: parametrizations.weight_norm(MixingConv(6, 6, 1))),
        "backbone.bad (ParametrizedMixingConv)",
    ),
    (
        planted("Helped", lambda spec: parametrizations.weight_norm(HelpedConv(6, 6, 1))),
        "backbone.bad (ParametrizedHelpedConv)",
    ),
    (planted("ParametrisedPReLU", lambda spec: doubled(MixingPReLU(6))), "backbone.bad (ParametrizedMixingPReLU)"),
    (planted("ParametrisedNorm", lambda spec: doubled(MixingNorm(6))), "backbone.bad (ParametrizedMixingNorm)"),
]
"""Modules that run something else than their class: to the proof they mix everything."""


class Trained(Base):
    """Takes its norm out of evaluation mode."""

    def plant(self, spec):
        self.bad = nn.BatchNorm2d(6)

    def wrong(self, h):
        self.bad.training = True
        return self.bad(h)


class TrainedForACall(Trained):
    def wrong(self, h):
        out = self.bad.train()(h)
        self.bad.eval()
        return out


class AttentionOfItsOwn(Base):
    def plant(self, spec):
        self.bad = MixingAttention(spec.ordering, mask_type="B")

    def wrong(self, h):
        return self.bad(h, h, h)


class Stashed(Base):
    """A hook that gives nothing keeps what it sees, which the forward then reads: no graph has that either."""

    def plant(self, spec):
        self.bad, self.seen = nn.ELU(), 0.0
        self.bad.register_forward_hook(self.keep)

    def keep(self, module, args, out):
        self.seen = mean(out.detach())

    def wrong(self, h):
        return self.bad(h) + self.seen


class Joined(PointwiseLayer):
    def forward(self, x, y):
        return x + y


class HookedBesideConstants(Base):
    def plant(self, spec):
        self.bad = hooked(Joined())
        self.register_buffer("zero", torch.zeros(1, 6, 1, 1))

    def wrong(self, h):
        return self.bad(self.zero, h)


ALTERED.append((HookedBesideConstants, "backbone.bad (Joined, changed by a hook)"))
UNSAID = [
    (planted("SubclassedMasked", lambda spec: masked(MixingMasked, spec)), "an inherited `taps`"),
    (planted("HalfSaid", lambda spec: masked(HalfSaid, spec)), "an inherited `taps`"),
    (AttentionOfItsOwn, "an inherited `ready`"),
    (
        planted("HookedMasked", lambda spec: hooked(masked(MaskedConv2d, spec))),
        "a hook changes the output of a mixing layer",
    ),
    (
        planted("HookedPart", lambda spec: hooked(masked(MaskedConv2d, spec), lambda layer: layer.apply_kernel)),
        "a hook changes the output of a mixing layer",
    ),
    (planted("AssignedMasked", lambda spec: assigned(masked(MaskedConv2d, spec))), "a method assigned to the instance"),
    (planted("ReachingMasked", lambda spec: masked(Reaching, spec)), "a method assigned to the instance"),
    (Trained, "not in evaluation mode"),
    (TrainedForACall, "not in evaluation mode"),
    (Stashed, "computes something different"),
]
"""What nothing is proved of, and why."""


class Tripled(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) * 3 - 1


class TripledNorm(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x) * 3 - 1


class TripledELU(ConcatenatedELU):
    def forward(self, x):
        return super().forward(x)[:, ::2] * 3 - 1


class Gain(PointwiseLayer, nn.ELU):
    def forward(self, x):
        return super().forward(x) * 3 - 1


class TripledMasked(MaskedConv2d):
    def forward(self, x):
        return super().forward(x) * 3 - 1


class SaidMasked(MaskedConv2d):
    """Says what it does site by site."""

    def forward(self, x):
        return super().forward(x) * 3 - 1

    def ready(self, *inputs):
        return super().ready(*inputs)

    def at(self, group, groups, sites, inputs, state):
        return super().at(group, groups, sites, inputs, state) * 3 - 1


class Overwriting(PointwiseLayer):
    """Changes what it is given, which torch does not count, and which nobody reads again."""

    def forward(self, x):
        x.data.mul_(2)
        return x - 1


def tripled(module):
    module.register_forward_hook(lambda module, args, out: out * 3 - 1)
    return module


def watched(module):
    module.register_forward_hook(lambda module, args, out: None)
    return module


SOUND = [
    ("hooked ELU", lambda spec: tripled(nn.ELU()), "changed by a hook"),
    ("hooked 1x1", lambda spec: tripled(nn.Conv2d(6, 6, 1)), "changed by a hook"),
    ("parametrised 1x1", lambda spec: parametrizations.weight_norm(Tripled(6, 6, 1)), "ParametrizedTripled"),
    ("parametrised norm", lambda spec: doubled(TripledNorm(6)), "ParametrizedTripledNorm"),
    ("concatenated ELU", lambda spec: TripledELU(), None),
    ("gain", lambda spec: Gain(), None),
    ("overwriting", lambda spec: Overwriting(), None),
    ("hooked masked", lambda spec: tripled(masked(MaskedConv2d, spec)), "a hook changes"),
    ("subclassed masked", lambda spec: masked(TripledMasked, spec), "inherited `taps`"),
    ("said masked", lambda spec: masked(SaidMasked, spec), None),
    ("watched masked", lambda spec: watched(masked(MaskedConv2d, spec)), "native"),
    ("watched ELU", lambda spec: watched(nn.ELU()), "native"),
    ("weight norm", lambda spec: parametrizations.weight_norm(masked(MaskedConv2d, spec)), "native"),
    ("former weight norm", lambda spec: nn.utils.weight_norm(masked(MaskedConv2d, spec)), "native"),
    ("parametrised 1x1 of torch", lambda spec: parametrizations.weight_norm(nn.Conv2d(6, 6, 1)), "native"),
    ("pruned", lambda spec: prune.l1_unstructured(nn.Conv2d(6, 6, 1), "weight", 0.5), "native"),
]
"""Sound modules; what is said of those that are not planned, or `native` for what compiled code runs."""
