// Pieces that several views are made of: texts with colours, names with bars.

import {make, percent, visible} from "./dom.js";

export const STRONGEST = 0.65; // the opacity of the largest value behind a text

/** A text whose tokens are coloured by `values`: above zero one way, below the other. */
export function strip(tokens, {values = [], titles = [], classes = [], gaps = [], label, pick = null}) {
  const most = Math.max(...values.map(Math.abs), 1e-9);
  const parts = tokens.map((token, at) => {
    const part = make("span", {class: `token ${classes[at] ?? ""}`, title: titles[at] ?? null}, token);
    if (values[at]) {
      part.style.setProperty("--share", (STRONGEST * Math.abs(values[at])) / most);
      part.classList.add(values[at] < 0 ? "against" : "for");
    }
    if (pick) part.addEventListener("click", () => pick(at + 1));
    return part;
  });
  const whole = parts.flatMap((part, at) => (gaps[at] ? [gaps[at], part] : [part]));
  return {element: make("p", {class: "strip", dir: "auto", "aria-label": label}, ...whole), parts};
}

/** What lies before each token in the text it was taken from, as far as it can be found there. */
export function gapsOf(tokens, whole) {
  const within = whole.toLowerCase();
  let end = 0;
  return tokens.map((token) => {
    const start = within.indexOf(token.toLowerCase(), end);
    if (start < 0) return end ? " " : "";
    const gap = whole.slice(end, start);
    end = start + token.length;
    return gap;
  });
}

/** Names with bars; `show(values)` sets them. */
export function bars(names, {label, say = percent, coloured = false}) {
  const rows = names.map((name, at) => {
    const bar = make("span", {class: `fill ${coloured ? `colour-${at + 1}` : ""}`});
    const value = make("output", {class: "value"});
    const row = make("li", {}, make("bdi", {class: "name"}, visible(name)), make("span", {class: "bar"}, bar), value);
    return {bar, value, row, name: row.firstChild};
  });
  const element = make("ul", {class: "bars", "aria-label": label}, ...rows.map((each) => each.row));
  const show = (values, shown = names) => rows.forEach(({bar, value, row, name}, at) => {
    row.hidden = values[at] === undefined;
    if (row.hidden) return;
    name.textContent = visible(shown[at]);
    bar.style.setProperty("--share", values[at]);
    value.value = say(values[at]);
  });
  return {element, show};
}

/** Show which tokens have been read, and which one was last. */
export function mark(parts, step) {
  parts.forEach((part, at) => {
    part.classList.toggle("now", at === step - 1);
    part.classList.toggle("later", at >= step);
  });
}
