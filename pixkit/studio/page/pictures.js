// Colours of pixels, red, green and blue of 0 ... 255, and canvases of a pixel for each of an image's.

const GREY = [120, 132, 160], WHITE = [255, 255, 255];

export const mixed = (a, b, share) => a.map((value, i) => value + (b[i] - value) * share);
export const faded = (colour) => mixed(colour, GREY, 0.6);

// Of what is not known: a chequered grey.
export const missing = (about, site) => mixed(GREY, WHITE, ((site % about.width) + Math.floor(site / about.width)) % 2 ? 0.12 : 0);

// From dark violet over blue and green to yellow, for x from 0 to 1.
const SCALE = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
export function heat(x) {
  const place = Math.min(Math.max(x, 0), 1) * (SCALE.length - 1), low = Math.min(Math.floor(place), SCALE.length - 2);
  return mixed(SCALE[low], SCALE[low + 1], place - low);
}

// An image's levels are an array, site by site: the colours of site s are at s * channels, and on.
export function colour(about, levels, site) {
  const at = (c) => levels[site * about.channels + c];
  if (about.palette) return about.palette[at(0)];
  const byte = (level) => Math.round((level * 255) / (about.levels - 1));
  return about.channels === 3 ? [byte(at(0)), byte(at(1)), byte(at(2))] : Array(3).fill(byte(at(0)));
}

export function paintOn(canvas, about, colourOf) {
  [canvas.width, canvas.height] = [about.width, about.height];
  const context = canvas.getContext("2d"), data = context.createImageData(about.width, about.height);
  for (let site = 0; site < about.width * about.height; site++) data.data.set([...colourOf(site), 255], 4 * site);
  context.putImageData(data, 0, 0);
}

// Column and row under a pointer, which may have left the canvas while it is held.
export function placeAt(canvas, about, event) {
  const box = canvas.getBoundingClientRect(), border = canvas.clientLeft;
  const place = (at, start, size, count) =>
    Math.min(Math.max(Math.floor(((at - start - border) / (size - 2 * border)) * count), 0), count - 1);
  return [place(event.clientX, box.left, box.width, about.width), place(event.clientY, box.top, box.height, about.height)];
}
