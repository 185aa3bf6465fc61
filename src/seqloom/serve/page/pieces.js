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

/** What lies before each token in the text it was taken from; blanks where tokens are not those of the text. */
export function gapsOf(tokens, whole) {
  const within = whole.toLowerCase();
  let end = 0;
  const gaps = tokens.map((token) => {
    const start = end < 0 ? -1 : within.indexOf(token.toLowerCase(), end);
    const gap = whole.slice(end, start);
    end = start < 0 ? -1 : start + token.length;
    return gap;
  });
  if (end >= 0) return gaps;
  return tokens.map((_, at) => (at && tokens.some((token) => token.length > 1) ? " " : ""));
}

/** `count` names with bars; `show([[name, share], ...])` sets them. */
export function bars(count, {label, colours = []}) {
  const rows = Array.from({length: count}, (_, at) => {
    const name = make("bdi", {class: "name"}), value = make("output", {class: "value"});
    const fill = make("span", {class: `fill ${colours[at] ?? ""}`});
    return {name, value, fill, row: make("li", {}, name, make("span", {class: "bar"}, fill), value)};
  });
  const show = (shares) => shares.forEach(([name, share], at) => {
    rows[at].name.textContent = visible(name);
    rows[at].value.value = percent(share);
    rows[at].fill.style.setProperty("--share", share);
  });
  return {element: make("ul", {class: "bars", "aria-label": label}, ...rows.map(({row}) => row)), show};
}

/** Show which tokens have been read, and which one was last. */
export function mark(parts, step) {
  parts.forEach((part, at) => {
    part.classList.toggle("now", at === step - 1);
    part.classList.toggle("later", at >= step);
  });
}
