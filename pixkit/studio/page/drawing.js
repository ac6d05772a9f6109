// What is drawn by hand: levels, which sites were painted, and up to which step of the model's order all is given.

const REMEMBERED = 100;

export class Drawing {
  // `steps` has the step at which each site is complete in the model's order.
  constructor(about, steps) {
    Object.assign(this, { about, steps, sites: about.width * about.height, past: [] });
    this.clear();
  }

  clear() {
    this.levels = new Int32Array(this.sites * this.about.channels).fill(this.about.blank);
    this.painted = new Uint8Array(this.sites);
    this.horizon = 0; // what is drawn before this step is given
  }

  remember() {
    this.past.push([this.levels.slice(), this.painted.slice(), this.horizon]);
    if (this.past.length > REMEMBERED) this.past.shift();
  }

  undo() {
    if (this.past.length) [this.levels, this.painted, this.horizon] = this.past.pop();
  }

  // The first half of an image in the order is given.
  load(levels, steps) {
    this.levels.set(levels);
    this.horizon = Math.floor(steps / 2);
    this.painted = Uint8Array.from(this.steps, (step) => step < this.horizon);
  }

  isKnown(site, mode) {
    return mode === "order" ? this.steps[site] < this.horizon : this.painted[site] === 1;
  }

  known(mode) {
    return [...this.painted.keys()].filter((site) => this.isKnown(site, mode));
  }

  levelsAt(sites) {
    const { channels } = this.about;
    return sites.flatMap((site) => [...this.levels.subarray(site * channels, (site + 1) * channels)]);
  }

  // The level, or levels, for a colour as #rrggbb, or for a grey level.
  ink(colour, grey) {
    const { palette, channels, levels } = this.about;
    if (!palette && channels !== 3) return Array(channels).fill(grey);
    const rgb = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
    if (!palette) return rgb.map((byte) => Math.round((byte * (levels - 1)) / 255));
    const far = palette.map((each) => each.reduce((sum, value, i) => sum + (value - rgb[i]) ** 2, 0));
    return [far.indexOf(Math.min(...far))];
  }

  // A square of `size` pixels around a place; without ink, what was painted is taken away.
  dab(x, y, size, ink) {
    const { width, height, channels, blank } = this.about, low = Math.floor((size - 1) / 2);
    for (let row = Math.max(y - low, 0); row < Math.min(y - low + size, height); row++) {
      for (let column = Math.max(x - low, 0); column < Math.min(x - low + size, width); column++) {
        const site = row * width + column;
        this.levels.set(ink ?? Array(channels).fill(blank), site * channels);
        this.painted[site] = ink ? 1 : 0;
        if (ink) this.horizon = Math.max(this.horizon, this.steps[site] + 1);
      }
    }
  }

  // Dabs from one place to another.
  line([fromX, fromY], [x, y], size, ink) {
    const count = Math.max(Math.abs(x - fromX), Math.abs(y - fromY), 1);
    for (let i = 0; i <= count; i++) {
      this.dab(Math.round(fromX + ((x - fromX) * i) / count), Math.round(fromY + ((y - fromY) * i) / count), size, ink);
    }
  }
}
