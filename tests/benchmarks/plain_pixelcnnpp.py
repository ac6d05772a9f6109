"""PixelCNN++ (Salimans et al., 2017, arXiv 1701.05517) written the plain way in PyTorch, and what a step of it takes.

    python tests/benchmarks/plain_pixelcnnpp.py [--device cuda] [--precision tf32] [--batch 32] [--filters 160] ...

As the authors describe it, and nothing else: padded convolutions whose weights are normalised by torch's
`weight_norm`, the concatenated ELU, Adam, an average of the weights; no readiness, no masks, no pixkit.
"""

import argparse
import statistics
import time
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

DOWN, RIGHT = (2, 3), (2, 2)
"""Kernels of the stream that sees the rows above, and of the one that sees the left as well."""


def concat_elu(x):
    """ELU of x and of -x, side by side: twice the maps."""
    return F.elu(torch.cat([x, -x], 1))


def shifted(x, down=0, right=0):
    """Moved down or to the right, zeros coming in."""
    return F.pad(x, (right, -right, down, -down))


class Conv(nn.Module):
    """A convolution of the rows above and the site's own; of columns on both sides or, to the `right`, of left ones."""

    def __init__(self, ins, outs, size, right=False, stride=1, up=False):
        super().__init__()
        rows, columns = size
        self.up, self.first = up, 0 if right else (columns - 1) // 2
        self.pad = (columns - 1, 0, rows - 1, 0) if right else (columns // 2, columns // 2, rows - 1, 0)
        conv = nn.ConvTranspose2d(ins, outs, size, 2, output_padding=1) if up else nn.Conv2d(ins, outs, size, stride)
        self.conv = weight_norm(conv, dim=1 if up else 0)

    def forward(self, x):
        """[B, ins, H, W] to [B, outs, H', W']."""
        if not self.up:
            return self.conv(F.pad(x, self.pad))
        height, width = 2 * x.shape[2], 2 * x.shape[3]
        return self.conv(x)[:, :, :height, self.first : self.first + width]


class Gated(nn.Module):
    """A gated residual block, given `other` maps of another stream or none."""

    def __init__(self, filters, right, other, dropout):
        super().__init__()
        size = RIGHT if right else DOWN
        self.first = Conv(2 * filters, filters, size, right)
        self.other = weight_norm(nn.Conv2d(2 * other, filters, 1)) if other else None
        self.dropout = nn.Dropout(dropout)
        self.second = Conv(2 * filters, 2 * filters, size, right)

    def forward(self, x, other=None):
        """[B, filters, H, W] to the same."""
        hidden = self.first(concat_elu(x))
        if self.other is not None:
            hidden = hidden + self.other(concat_elu(other))
        value, gate = self.second(self.dropout(concat_elu(hidden))).chunk(2, 1)
        return x + value * gate.sigmoid()

    def pairs(self, other):
        """Layers, and those of one of pixkit's, which joins what two others give in another order."""
        found = [(self.first.conv, other.first), (self.second.conv, other.second)]
        if self.other is None:
            return found
        order = torch.arange(self.other.in_channels)
        if self.other.in_channels == 4 * self.other.out_channels:
            order = order.view(2, 2, -1).transpose(0, 1).flatten()
        return [*found, (self.other, other.others, order)]


class Plain(nn.Module):
    """Colour images [B, 3, H, W] in -1..1 to parameters of `components` logistics, [B, 10 components, H, W]."""

    def __init__(self, filters=160, resnets=5, hierarchies=3, components=10, dropout=0.5):
        super().__init__()

        def stream(counts, right, other):
            scales = (nn.ModuleList(Gated(filters, right, other, dropout) for _ in range(count)) for count in counts)
            return nn.ModuleList(scales)

        def between(**how):
            pairs = ((Conv(filters, filters, DOWN, **how), Conv(filters, filters, RIGHT, True, **how)) for _ in steps)
            return nn.ModuleList(map(nn.ModuleList, pairs))

        steps, up = range(hierarchies - 1), [resnets] * hierarchies
        down = [resnets] + [resnets + 1] * (hierarchies - 1)
        self.first_above = Conv(4, filters, DOWN)
        self.first_row, self.first_column = Conv(4, filters, (1, 3)), Conv(4, filters, (2, 1), True)
        self.up_above, self.up_left = stream(up, False, 0), stream(up, True, filters)
        self.down_above, self.down_left = stream(down, False, filters), stream(down, True, 2 * filters)
        self.smaller, self.larger = between(stride=2), between(up=True)
        self.out = weight_norm(nn.Conv2d(filters, 10 * components, 1))

    def forward(self, x):
        """The parameters."""
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        above = [shifted(self.first_above(x), down=1)]
        left = [shifted(self.first_row(x), down=1) + shifted(self.first_column(x), right=1)]
        for scale, blocks in enumerate(zip(self.up_above, self.up_left, strict=True)):
            for block, beside in zip(*blocks, strict=True):
                above.append(block(above[-1]))
                left.append(beside(left[-1], above[-1]))
            if scale < len(self.smaller):
                above.append(self.smaller[scale][0](above[-1]))
                left.append(self.smaller[scale][1](left[-1]))
        u, ul = above.pop(), left.pop()
        for scale, blocks in enumerate(zip(self.down_above, self.down_left, strict=True)):
            for block, beside in zip(*blocks, strict=True):
                u = block(u, above.pop())
                ul = beside(ul, torch.cat([u, left.pop()], 1))
            if scale < len(self.larger):
                u, ul = self.larger[scale][0](u), self.larger[scale][1](ul)
        return self.out(F.elu(ul))

    def pairs(self, net):
        """Layers, and those of pixkit's network; its projection is not weight-normalised, nor is `out` to be then."""
        body = net.backbone
        upper, left = body.upper_stream, body.left_stream
        found = [(self.first_above.conv, body.above[0]), (self.first_row.conv, body.above_left[0])]
        found += [(self.first_column.conv, body.left[0]), (self.out, net.projection)]
        streams = [(self.up_above, upper.falling), (self.up_left, left.falling)]
        streams += [(self.down_above, upper.rising[::-1]), (self.down_left, left.rising[::-1])]
        for mine, theirs in streams:
            for one, other in zip(mine, theirs, strict=True):
                found += [pair for block, beside in zip(one, other, strict=True) for pair in block.pairs(beside)]
        for mine, name in ((self.smaller, "shrink"), (self.larger, "grow")):
            for stream, whose in enumerate((upper, left)):
                theirs = list(getattr(whose, name))[:: -1 if name == "grow" else 1]
                found += [(one[stream].conv, other) for one, other in zip(mine, theirs, strict=True)]
        return found


def nats(x, parameters):
    """Of the images x, [B, 3, H, W] in -1..1 on 256 levels, the negative log-likelihood of each, [B]."""
    count = parameters.shape[1] // 10
    weights, rest = parameters.float().split([count, 9 * count], 1)
    means, scales, mixed = rest.unflatten(1, (3, 3, count)).unbind(1)
    scales, mixed, x = scales.clamp(min=-7), mixed.tanh(), x[:, :, None]
    red, green = x[:, 0], x[:, 1]
    means = torch.stack(
        [means[:, 0], means[:, 1] + mixed[:, 0] * red, means[:, 2] + mixed[:, 1] * red + mixed[:, 2] * green], 1
    )
    centred, sharp = x - means, torch.exp(-scales)
    upper, lower = sharp * (centred + 1 / 255), sharp * (centred - 1 / 255)
    mass = torch.log((upper.sigmoid() - lower.sigmoid()).clamp(min=1e-12))
    tails = torch.where(x < -0.999, F.logsigmoid(upper), torch.where(x > 0.999, -F.softplus(lower), mass))
    return -torch.logsumexp(tails.sum(1) + weights.log_softmax(1), 1).flatten(1).sum(1)


def milliseconds(device, precision, batch, side, steps, warm, **sizes):
    """Median time of a whole step: loss, gradients, Adam, and the average of the weights."""
    torch.manual_seed(0)
    net = Plain(**sizes).to(device)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, (0.95, 0.9995))
    average = [parameter.detach().clone() for parameter in net.parameters()]
    x = torch.randint(256, (batch, 3, side, side), device=device) / 127.5 - 1
    torch.backends.cudnn.conv.fp32_precision = torch.backends.cuda.matmul.fp32_precision = (
        "tf32" if precision == "tf32" else "ieee"
    )
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    times = []
    for _ in range(steps):
        wait()
        begin = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16) if precision == "bf16" else nullcontext():
            parameters = net(x)
        loss = nats(x, parameters).mean()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for kept, parameter in zip(average, net.parameters(), strict=True):
                kept.lerp_(parameter, 5e-4)
        float(loss.detach())
        times.append(time.perf_counter() - begin)
    return 1000 * statistics.median(times[warm:])


def main():
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32")
    numbers = {"batch": 32, "side": 32, "filters": 160, "resnets": 5, "hierarchies": 3, "steps": 20, "warm": 5}
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    print(f"{milliseconds(**vars(parser.parse_args())):.1f}")


if __name__ == "__main__":
    main()
