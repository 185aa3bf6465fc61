// A text that is gone on with, shown as it is written.

import {events} from "./api.js";
import {make, place, plural} from "./dom.js";

const SETTINGS = [
  ["temperature", "Temperature", {min: 0, max: 100, step: "any"}],
  ["top_k", "Top k", {min: 0, step: 1}],
  ["top_p", "Top p", {min: 0, max: 1, step: "any"}],
  ["max_output", "Tokens at most", {min: 1, step: 1}],
  ["no_repeat", "No repeat of", {min: 0, step: 1}],
  ["seed", "Seed", {min: 0, step: 1}],
];
const SEEDS = 2 ** 31;

/** The fields of the settings; an empty one is the model's own. */
export function addSettings(parent) {
  for (const [name, label, limits] of SETTINGS) {
    const field = make("input", {type: "number", id: name, placeholder: "its own", ...limits});
    parent.append(make("label", {for: name}, label, field));
  }
}

/** The next text is another one. */
export function drawAnother() {
  place("seed").value = Math.floor(Math.random() * SEEDS);
}

function settings() {
  const given = SETTINGS.map(([name]) => [name, place(name).value]).filter(([, value]) => value !== "");
  return Object.fromEntries(given.map(([name, value]) => [name, Number(value)]));
}

/** Go on with a text in `parent`, token by token, until it ends or `signal` stops it. Returns the whole text. */
export async function write(model, text, parent, signal) {
  const written = make("span", {class: "written"});
  const state = make("p", {class: "faint", role: "status"}, "It reads ...");
  parent.replaceChildren(
    make("h2", {}, "Written"),
    make("p", {class: "strip prose", dir: "auto"}, make("span", {class: "later"}, text), written),
    state);
  let tokens = 0;
  try {
    const body = {model, input: text, stream: true, ...settings()};
    for await (const [event, values] of events("/v1/generate", body, signal)) {
      if (event === "error") throw new Error(values.message);
      if (event === "token") {
        written.append(make("span", {class: "fresh"}, values.text));
        tokens += 1;
        state.textContent = "It writes ...";
      } else if (event === "done") {
        const how = values.finish === "length" ? "cut there" : "ended there";
        state.textContent = values.tokens === undefined ? "Done." : `${plural(values.tokens, "token")}, ${how}.`;
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    state.textContent = `Stopped after ${plural(tokens, "piece")}.`;
  }
  return text + written.textContent;
}
