// The page: what is drawn by hand is sent to be completed, and what comes back is shown in the order in which it was drawn.

import { Drawing } from "./drawing.js";
import { colour, faded, heat, missing, mixed, paintOn, placeAt } from "./pictures.js";
import { ask, events } from "./server.js";

const $ = (id) => document.getElementById(id);
const SEEN = [31, 182, 196], BLIND = [214, 51, 108], OWN = [245, 183, 0];

let about, sites, steps, count; // the model; how many sites there are; their steps in its order, and how many steps
let drawing, cursor = null, running = null, playing = 0, asking = null;
let shown = nothing(); // what was drawn last

function nothing() {
  return { given: null, images: [], order: [], came: new Set(), revealed: 0, chosen: 0, steps: null, end: null, field: null };
}

const mode = () => document.querySelector("input[name=mode]:checked").value;
const number = (id) => Number($(id).value);
const place = (site) => [site % about.width, Math.floor(site / about.width)];
const lastSteps = (flat) => Int32Array.from({ length: sites }, (_, site) => {
  return Math.max(...Array.from({ length: about.channels }, (_, c) => flat[c * sites + site]));
});

// --- Completing

async function complete() {
  running?.abort();
  const known = about.completes ? drawing.known(mode()) : [];
  if (known.length === sites) return say("Nothing is missing: give less by the slider, or clear.", true);
  const mine = running = new AbortController(), images = Array.from({ length: number("count") }, () => drawing.levels.slice());
  shown = { ...nothing(), given: new Set(known), images, chosen: Math.min(shown.chosen, images.length - 1) };
  makeThumbnails();
  working(true);
  say("Drawing …");
  const label = about.labels === null ? null : $("label").value === "none" ? "none" : number("label");
  const asked = { known, levels: drawing.levelsAt(known), count: images.length, seed: number("seed"), temperature: number("temperature"), label };
  try {
    for await (const event of events(await ask("draw", asked, mine.signal))) if (running === mine) hear(event);
  } catch (error) {
    if (running === mine) say(error.message, true);
  }
  if (running === mine) working(false);
}

function hear(event) {
  if (event.event === "start" && event.steps !== null) shown.steps = lastSteps(event.steps);
  else if (event.event === "pixels") {
    const { channels } = about;
    event.sites.forEach((site, i) => shown.images.forEach((image, n) => {
      image.set(event.levels[n].slice(i * channels, (i + 1) * channels), site * channels);
    }));
    shown.order.push(...event.sites.filter((site) => !shown.came.has(site)));
    event.sites.forEach((site) => shown.came.add(site));
    play();
  } else if (event.event === "progress") say(`Drawing ${event.done} of ${event.total}`);
  else if (event.event === "error") say(event.error, true);
  else if (event.event === "cancelled") say("Stopped.");
  else if (event.event === "end") {
    shown.end = event;
    const clamped = shown.given.size > 0 && event.known === null;
    say(`${clamped ? "Clamped: a pixel is drawn given the earlier ones alone. " : ""}Drawn in ${(1000 * event.seconds).toFixed(0)} ms.`);
    show();
  }
}

function play() {
  cancelAnimationFrame(playing);
  const seconds = number("pace"), began = performance.now(), from = shown.revealed;
  const frame = (now) => {
    const due = seconds ? from + ((now - began) / 1000 / seconds) * (sites - shown.given.size) : Infinity;
    shown.revealed = Math.min(shown.order.length, Math.max(from, Math.floor(due)));
    show();
    if (shown.revealed < shown.order.length) playing = requestAnimationFrame(frame);
  };
  playing = requestAnimationFrame(frame);
}

function forget() {
  running?.abort();
  running = null;
  cancelAnimationFrame(playing);
  shown = nothing();
  $("all").replaceChildren();
  working(false);
  say("");
}

// --- What is shown

function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("wrong", wrong);
}

function working(on) {
  $("stop").disabled = !on;
  $("save").disabled = on || !shown.images.length;
}

function show() {
  const { given, images, chosen, end, field } = shown, there = new Set(shown.order.slice(0, shown.revealed));
  paintOn($("paper"), about, (site) => {
    const own = drawing.isKnown(site, mode()) ? colour(about, drawing.levels, site) : missing(about, site);
    return site === cursor && document.activeElement === $("paper") ? mixed(own, OWN, 0.7) : own;
  });
  const isGiven = (site) => (given ? given.has(site) : about.completes && drawing.isKnown(site, mode()));
  const plain = (site, levels) => (isGiven(site) || there.has(site) ? colour(about, levels, site) : missing(about, site));
  const image = images[chosen] ?? drawing.levels, uncertain = end?.uncertainty, most = uncertain ? Math.max(...uncertain, 1e-9) : 0;
  const [legend, viewed] = {
    pixels: () => ["", (site) => plain(site, image)],
    uncertainty: () => [uncertain ? `0 … ${most.toFixed(3)} nats` : "not known",
      (site) => (uncertain && !isGiven(site) ? heat(uncertain[site] / most) : faded(plain(site, image)))],
    order: () => [`step 0 … ${count - 1}`, (site) => heat((shown.steps ?? steps)[site] / Math.max(count - 1, 1))],
  }[$("view").value]();
  $("legend").textContent = legend;
  paintOn($("picture"), about, (site) => {
    if (site === field?.site) return OWN;
    return field?.seen.has(site) ? mixed(viewed(site), SEEN, 0.6) : field?.blind.has(site) ? mixed(viewed(site), BLIND, 0.6) : viewed(site);
  });
  [...$("all").children].forEach((button, n) => {
    button.setAttribute("aria-pressed", n === chosen);
    paintOn(button.firstChild, about, (site) => plain(site, images[n]));
  });
  [$("step").max, $("step").value, $("given").value] = [given ? sites - given.size : 0, shown.revealed, drawing.horizon];
  $("step-text").textContent = given ? `${shown.revealed} of ${sites - given.size} pixels drawn` : "Nothing is drawn yet";
  $("given-text").textContent = mode() === "order" ? `The first ${drawing.horizon} of ${count} steps are given` : "The painted pixels are given";
  showNumbers();
}

function showNumbers() {
  const { end, chosen } = shown, nats = (value) => (value === null ? "∞ nats" : `${value.toFixed(2)} nats`);
  const rate = about.palette === null ? "bits/dim" : "bits/token", rows = [];
  if (end?.drawn) rows.push(["What is given", nats(end.known)], ["This completion", nats(end.drawn[chosen])], ["Their entropy", `~ ${nats(end.entropy)}`]);
  if (end?.nats) rows.push(["The whole image", nats(end.nats[chosen])]);
  if (end?.bits && end.bits[chosen] !== null) rows.push(["", `${end.bits[chosen].toFixed(4)} ${rate}`]);
  $("numbers").replaceChildren(...rows.flat().map((text, i) => {
    return Object.assign(document.createElement(i % 2 ? "dd" : "dt"), { textContent: text });
  }));
}

function makeThumbnails() {
  $("all").replaceChildren(...shown.images.map((_, n) => {
    const button = Object.assign(document.createElement("button"), { type: "button", ariaLabel: `Image ${n + 1}` });
    button.append(document.createElement("canvas"));
    button.onclick = () => { shown.chosen = n; show(); };
    return button;
  }));
}

function save() {
  const canvas = document.createElement("canvas"), link = document.createElement("a");
  paintOn(canvas, about, (site) => colour(about, shown.images[shown.chosen], site));
  canvas.toBlob((blob) => {
    link.href = URL.createObjectURL(blob);
    link.download = `pixkit-seed${$("seed").value}-${shown.chosen}.png`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}

// What the prediction of a site reads; of null nothing is shown.
async function look(site) {
  asking = site;
  if (site !== null) {
    const [column, row] = place(site), inOrder = (shown.steps ?? steps)[site];
    try {
      const found = await (await ask("sight", { pixel: [number("channel"), row, column], known: [...(shown.given ?? [])] })).json();
      if (asking !== site) return;
      const of = (subpixels) => new Set(subpixels.map((each) => each % sites));
      shown.field = { site, seen: of(found.seen), blind: of(found.blind) };
      const sure = shown.end?.uncertainty && !shown.given.has(site) ? ` Uncertainty: ${shown.end.uncertainty[site].toFixed(3)} nats.` : "";
      $("pixel").textContent = `Row ${row}, column ${column}: step ${inOrder} of ${count}; reads ${found.seen.length} earlier ` +
        `${about.channels > 1 ? "sub-pixels" : "pixels"}, ${found.blind.length} it never reads.${sure}`;
    } catch (error) {
      $("pixel").textContent = error.message;
    }
  } else shown.field = null;
  show();
}

// --- What is done by hand

const ink = () => ($("eraser").checked ? null : drawing.ink($("colour").value, number("grey")));

function changed() {
  const known = drawing.known(mode()).length;
  if (known === 0) forget();
  else if ($("live").checked && known < sites) complete();
  show();
}

async function load(event) {
  event.preventDefault();
  say("Loading …");
  try {
    const found = await (await ask("image", { split: $("split").value, number: number("number") })).json();
    drawing.remember();
    forget();
    drawing.load(found.levels, count);
    changed();
  } catch (error) {
    say(error.message, true);
  }
}

function press(event) {
  const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key], onPaper = event.target === $("paper");
  const [x, y] = place((onPaper ? cursor : shown.field?.site) ?? Math.floor(about.height / 2) * about.width + Math.floor(about.width / 2));
  const go = (column, row) => { onPaper ? (cursor = row * about.width + column) : look(row * about.width + column); };
  if (by) go(Math.min(Math.max(x + by[0], 0), about.width - 1), Math.min(Math.max(y + by[1], 0), about.height - 1));
  else if (event.key === "Enter") complete();
  else if (onPaper && event.key === "e") $("eraser").checked = !$("eraser").checked;
  else if (onPaper && event.key === "z" && (event.ctrlKey || event.metaKey)) undo();
  else if (onPaper && event.key === " ") {
    go(x, y);
    drawing.remember();
    drawing.dab(x, y, number("brush"), ink());
    changed();
  } else return;
  event.preventDefault();
  show();
}

function undo() {
  drawing.undo();
  changed();
}

function listen() {
  const paper = $("paper"), picture = $("picture");
  let last = null;
  const stroke = (event) => {
    const here = placeAt(paper, about, event);
    drawing.line(last ?? here, here, number("brush"), ink());
    last = here;
    show();
  };
  paper.onpointerdown = (event) => { paper.setPointerCapture(event.pointerId); drawing.remember(); stroke(event); };
  paper.onpointermove = (event) => { if (last) stroke(event); };
  paper.onpointerup = paper.onpointercancel = () => { if (last) { last = null; changed(); } };
  picture.onpointermove = picture.onpointerdown = (event) => {
    const [x, y] = placeAt(picture, about, event);
    if (asking !== y * about.width + x) look(y * about.width + x);
  };
  picture.onpointerleave = () => look(null);
  paper.onkeydown = picture.onkeydown = press;
  paper.onfocus = paper.onblur = show;
  $("undo").onclick = undo;
  $("clear").onclick = () => { drawing.remember(); drawing.clear(); forget(); show(); };
  $("how").onsubmit = (event) => { event.preventDefault(); complete(); };
  $("stop").onclick = () => ask("cancel", {});
  $("reseed").onclick = () => { $("seed").value = number("seed") + 1; complete(); };
  $("save").onclick = save;
  $("view").onchange = show;
  $("step").oninput = () => { cancelAnimationFrame(playing); shown.revealed = Math.min(number("step"), shown.order.length); show(); };
  $("pace").oninput = () => { $("pace-text").textContent = `${$("pace").value} s`; };
  $("given").oninput = () => { drawing.horizon = number("given"); show(); };
  $("given").onchange = changed;
  document.querySelectorAll("input[name=mode]").forEach((each) => { each.onchange = () => { $("given").disabled = mode() === "painted"; changed(); }; });
  $("data").onsubmit = load;
}

// --- Start

function prepare() {
  const { channels, height, width, levels, completes } = about, coloured = about.palette !== null || channels === 3;
  document.title = `${about.name} – pixkit studio`;
  $("model").textContent = `${about.name}: ${channels} × ${height} × ${width}, ${levels} levels` + (about.ordering ? `, order: ${about.ordering}` : "");
  for (const id of ["paper", "picture"]) $(id).style.width = `${width * Math.max(1, Math.floor(336 / Math.max(height, width))) + 2}px`;
  [$("grey").max, $("grey").value, $("count").max, $("given").max] = [levels - 1, levels - 1, about.most, count];
  $("brush").value = Math.max(1, Math.round(Math.min(height, width) / 14));
  [$("grey-field").hidden, $("colour-field").hidden, $("channel-field").hidden] = [coloured, !coloured, channels === 1];
  const names = Array.from({ length: channels }, (_, c) => (channels === 3 ? ["red", "green", "blue"][c] : `colour ${c}`));
  $("channel").append(...names.map((name, c) => new Option(name, c)));
  $("channel").value = channels - 1;
  $("label").append(...(about.unlabelled ? [new Option("none", "none")] : []), ...(about.labels ?? []).map((name, n) => new Option(name, n)));
  $("temperature").value = about.temperature;
  [$("label-field").hidden, $("data").hidden, $("drawing").hidden, $("live-field").hidden] = [about.labels === null, !about.data, !completes, !completes];
  if (!completes) [$("reason").textContent, $("reason").hidden, $("go").textContent] = [`Only whole images can be drawn: ${about.reason}.`, false, "Draw"];
  if (about.any_part) document.querySelector("input[value=painted]").checked = true;
  $("given").disabled = mode() === "painted";
  $("pace").oninput();
}

async function start() {
  about = await (await ask("about")).json();
  sites = about.height * about.width;
  steps = about.steps ? lastSteps(about.steps) : new Int32Array(sites);
  count = Math.max(...steps) + 1;
  drawing = new Drawing(about, steps);
  listen();
  prepare();
  forget();
  show();
}

start().catch((error) => say(error.message, true));
