"""A PixelRNN by its paper's equations, one pixel after the other, for comparison with the vectorised ones."""

import itertools

import torch


def masked(layer, image, site, groups):
    """A masked convolution at one pixel, by section 3.4: earlier pixels; of the own pixel, earlier colours.

    `image` maps sites to vectors of maps. Type B reads the own colour, too.
    """
    rows, columns = layer.crop
    out = layer.bias.clone()
    reads_own = layer.mask_type == "B"
    colour = torch.arange(layer.out_maps) % groups
    for tap in itertools.product(range(rows.start, rows.stop), range(columns.start, columns.stop)):
        dy, dx = (offset - layer.kernel_size // 2 for offset in tap)
        source = (site[0] + dy, site[1] + dx)
        if source not in image or (dy, dx) > (0, 0):
            continue
        weight = layer.weight[:, :, tap[0] - rows.start, tap[1] - columns.start]
        if (dy, dx) == (0, 0):
            read = torch.arange(layer.in_maps) % groups
            weight = weight * ((read < colour[:, None]) | (reads_own & (read == colour[:, None])))
        out = out + weight @ image[source]
    return out


def lstm(gates, recurrence, grid, groups, taps, carry, backwards=False):
    """Equation 3 over an image: {site: h}; `gates` gives the input-to-state half at a site."""
    height, width = grid
    hidden, cell = {}, {}
    columns = range(width - 1, -1, -1) if backwards else range(width)
    for r, c in itertools.product(range(height), columns):
        total = gates((r, c))
        for tap, (dy, dx) in enumerate(taps):
            total = total + recurrence.weight[:, :, tap] @ hidden.get((r + dy, c + dx), recurrence.hidden)
        o, f, i, g = total.chunk(4)
        before = cell.get((r + carry[0], c + carry[1]), recurrence.cell)
        cell[r, c] = f.sigmoid() * before + i.sigmoid() * g.tanh()
        hidden[r, c] = o.sigmoid() * cell[r, c].tanh()
    return hidden


def features(net, x, layer_states):
    """The backbone's features of one encoded image [inputs, H, W]; `layer_states(layer, image)` gives {site: h}."""
    backbone, groups = net.backbone, net.ordering.groups
    sites = list(itertools.product(range(x.shape[1]), range(x.shape[2])))
    pixels = {(r, c): x[:, r, c] for r, c in sites}
    stream = {site: masked(backbone.stem, pixels, site, groups) for site in sites}
    for layer, up in zip(backbone.lstms, backbone.ups, strict=True):
        states = layer_states(layer, stream)
        stream = {site: stream[site] + masked(up, states, site, groups) for site in sites}
    first, second = backbone.out[1], backbone.out[3]
    for point in (first, second):
        active = {site: value.relu() for site, value in stream.items()}
        stream = {site: masked(point, active, site, groups) for site in sites}
    out = torch.stack([stream[site].relu() for site in sites], -1)
    return out.unflatten(-1, x.shape[1:])
