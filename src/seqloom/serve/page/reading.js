// How a model that answers once read a text: its answer as each token arrives, its gates and its memory meanwhile.

import {choice, largest, make, number, percent, quoted, signed} from "./dom.js";
import {Timeline} from "./timeline.js";
import {bars, mark, strip} from "./pieces.js";

const LABELS = 6; // that are shown, the likeliest at the end
const COLOURS = 6; // labels have their own, so that it is the same in two texts
const BOTH_WAYS = ["hidden", "cell", "candidate"]; // values on both sides of zero

/** Which layer and which of its values are shown: the same for two texts that are compared. */
const chosen = {layer: null, kind: null};

/** See views.js. */
export function reading(seen, pick) {
  const tokens = seen.tokens.map((token) => token.text);
  const {parts, element: text} = textOf(seen, pick);
  const shown = seen.labels.length ? likeliest(seen) : [0];
  const colours = shown.map((at) => `colour-${colour(at)}`);
  const answer = bars(shown.length, {label: "The answer so far", colours});
  const plain = make("p", {class: "answer"});
  const said = make("p", {class: "said"});
  let step = 1;
  const memory = sheets(seen, shown, pick, () => step);
  const show = (to) => {
    step = to;
    mark(parts, step);
    memory.show(step - 1);
    const values = valuesAt(seen.arrivals, step);
    if (seen.labels.length) answer.show(shown.map((at) => [seen.labels[at], values[at]]));
    plain.textContent = best(seen, values);
    plain.classList.toggle("unsure", step < tokens.length);
    said.textContent = sentence(seen, values, step);
    return said.textContent;
  };
  const element = make("div", {},
    make("div", {class: "answers"}, plain, ...(seen.labels.length ? [answer.element] : [])),
    more(seen, shown), text, said, memory.element, findings(seen));
  const summary = best(seen, seen.arrivals.values.at(-1));
  const shared = {tokens, parts, ofWords: true};
  return {element, steps: tokens.length, show, redraw: memory.redraw, ...shared, summary};
}

/** The text with what lies between its tokens; colours say what each adds. */
function textOf(seen, pick) {
  const {shares, occluded, about} = seen.saliency;
  const titles = shares.map((share, at) => {
    const without = at in occluded ? `, without it the answer loses ${signed(occluded[at])}` : "";
    return `adds ${signed(share)}${without}${seen.tokens[at].known ? "" : ", unknown to the model"}`;
  });
  const classes = seen.tokens.map((token) => (token.known ? "" : "unknown"));
  const tokens = seen.tokens.map((token) => token.text);
  const text = strip(tokens, {values: shares, titles, classes, label: "The text", pick});
  const points = [...seen.input]; // places count characters as Python does
  let end = 0;
  text.parts.forEach((part, at) => {
    const token = seen.tokens[at];
    part.before(points.slice(end, token.start).join(""));
    part.textContent = points.slice(token.start, token.end).join("") || token.text;
    end = token.end;
  });
  if (end < points.length) text.element.append(make("span", {class: "later"}, points.slice(end).join("")));
  const what = about === null ? ["a higher answer", "a lower one"] : [`for ${quoted(about)}`, "against it"];
  const legend = make("p", {class: "legend"}, make("span", {class: "for key"}, what[0]), " ",
    make("span", {class: "against key"}, what[1]), " ", make("span", {class: "unknown key"}, "unknown word"));
  return {parts: text.parts, element: make("div", {}, text.element, legend)};
}

const colour = (label) => (label % COLOURS) + 1;

function likeliest(seen) {
  const last = seen.arrivals.values.at(-1);
  return last.map((_, at) => at).sort((a, b) => last[b] - last[a]).slice(0, LABELS);
}

function more(seen, shown) {
  const left = seen.labels.length - shown.length;
  return left > 0 ? make("p", {class: "faint"}, `and ${left} labels that are less likely`) : "";
}

/** The answer after so many tokens; of a long text not every step was asked for, and the one before stands. */
function valuesAt({steps, values}, step) {
  return values[Math.max(0, steps.findLastIndex((each) => each <= step))];
}

function best(seen, values) {
  if (!seen.labels.length) return number(values[0]);
  if (Array.isArray(seen.prediction)) {
    const over = seen.labels.filter((_, at) => values[at] >= 0.5);
    return over.join(", ") || "none";
  }
  return seen.labels[values.indexOf(Math.max(...values))];
}

function sentence(seen, values, step) {
  const {about, shares} = seen.saliency;
  const chance = seen.labels.length && !Array.isArray(seen.prediction) ? `, ${percent(Math.max(...values))}` : "";
  const what = about === null ? "the answer" : quoted(about);
  const token = seen.tokens[step - 1];
  return `After ${step} of ${seen.tokens.length}, ${quoted(token.text)}: ${best(seen, values)}${chance}. `
    + `This token adds ${signed(shares[step - 1])} to ${what}${about === null ? "" : " (log odds)"}.`;
}

/** The curves and maps below the text. */
function sheets(seen, shown, pick, step) {
  const names = seen.tokens.map((token) => token.text);
  const sheet = new Timeline(names, {pick: (column) => pick(column + 1), caption: "Answer and memory by token"});
  const element = make("div", {class: "sheets"}, sheet.element);
  arrivals(sheet, seen, shown);
  sheet.names();
  let memory = null;
  const redraw = () => {
    const held = [...element.querySelectorAll("select")].indexOf(document.activeElement);
    memory = memoryOf(seen, names, pick);
    element.replaceChildren(sheet.element, memory.element);
    memory.show(step() - 1);
    element.querySelectorAll("select")[held]?.focus();
  };
  redraw();
  const show = (column) => {
    sheet.show(column);
    memory.show(column);
  };
  return {element, show, redraw};
}

function memoryOf(seen, names, pick) {
  const both = seen.layers.some((layer) => layer.direction === "backward");
  const titles = seen.layers.map((layer) => `layer ${layer.number}${both ? `, ${layer.direction}` : ""}`);
  const place = Math.max(0, titles.indexOf(chosen.layer));
  const layer = seen.layers[place];
  const kinds = Object.keys(layer.values);
  const kind = kinds.includes(chosen.kind) ? chosen.kind : kinds.includes("cell") ? "cell" : "hidden";
  const choose = (what) => (value) => {
    chosen[what] = value;
    sheet.element.dispatchEvent(new Event("choose", {bubbles: true})); // whoever shows two of them redraws both
  };
  const sheet = new Timeline(names, {pick: (column) => pick(column + 1), caption: "Memory by token"});
  const back = layer.direction === "backward" ? ", read from the end" : "";
  sheet.title(`Gates, and how far the state moved${back}`, choice("Layer", titles, titles[place], choose("layer")));
  const gates = Object.entries({...layer.gates, "state moved": layer.moved}).map(([name, values]) => ({name, values}));
  sheet.map(gates, {unit: "the mean of each gate over all units, by token"});
  sheet.title(`The ${layer.units.length} units that move most`, choice("Show", kinds, kind, choose("kind")));
  const units = layer.values[kind].map((values, at) => ({name: `unit ${layer.units[at]}`, values}));
  const signs = BOTH_WAYS.includes(kind);
  const most = signs ? largest(units.flatMap((unit) => unit.values.map(Math.abs))) : 1;
  sheet.map(units, {most, unit: `${kind} of the units that move most, by token`});
  sheet.names();
  return sheet;
}

function arrivals(sheet, seen, shown) {
  const {steps, values, anew} = seen.arrivals;
  const how = anew ? "each beginning read by itself" : "";
  sheet.title("The answer as the text arrives", make("span", {class: "faint"}, how));
  const lines = shown.map((label) => ({
    points: steps.map((step, place) => [step - 1, values[place][label]]), colour: colour(label),
  })).toReversed();
  if (seen.labels.length) {
    const show = (value) => `${100 * value}\u00a0%`;
    sheet.curves(lines, {low: 0, high: 1, show, label: "the probability of each label by token"});
  } else {
    const all = values.map((value) => value[0]);
    sheet.curves(lines, {low: Math.min(...all), high: Math.max(...all), show: number, label: "the answer by token"});
  }
}

function findings(seen) {
  const found = make("ul", {}, ...seen.findings.map((each) => make("li", {}, make("bdi", {}, each))));
  return make("section", {class: "findings"}, make("h3", {}, "In words"), found);
}
