// The page: a model is chosen, a text is typed, and what was seen is stepped through; or two texts side by side.
// Whatever comes from a model, a server or a user is shown as text.

import {access, ask, send} from "./api.js";
import {difference} from "./difference.js";
import {button, make, number, place, plural} from "./dom.js";
import {Player} from "./player.js";
import {viewOf} from "./views.js";
import {addSettings, drawAnother, write} from "./writing.js";

const HINTS = [
  "Enter reads it, Shift+Enter begins a new line.",
  "This model answers for arrays of numbers, which are not typed here: /v1/predict and /v1/look take them.",
];
const VERBS = {translate: "Translate", tag: "Tag", forecast: "Forecast"};
const models = new Map();
const player = new Player();
let views = [];
let asked = new AbortController();

const model = () => models.get(place("model").value);
/** Whether the page has a view of what it sees: of texts, and of series that are forecast. */
const viewed = () => model().looks && (model().reads === "texts" || model().task === "forecast");
const comparing = () => !place("second-input").hidden;

// What is chosen

async function load() {
  const known = (await ask("/v1/models")).models;
  place("token-form").hidden = true;
  place("model").replaceChildren(...known.map((each) => new Option(each.name, each.name)));
  for (const each of known) models.set(each.name, each);
  const link = new URLSearchParams(location.hash.slice(1));
  if (models.has(link.get("model"))) place("model").value = link.get("model");
  describe();
  if (!link.get("text")) return;
  place("text").value = link.get("text");
  if (link.get("second")) {
    compare(true);
    place("second").value = link.get("second");
  }
  await look();
}

function describe() {
  const {task, input, target, cell, parameters} = model();
  const series = task === "forecast";
  place("about").textContent = `${task}: ${input} \u2192 ${target}, ${cell}, ${plural(parameters, "parameter")}`;
  place("text-label").textContent = series ? "Values so far; ? where one is missing" : "Text";
  place("text").placeholder = series ? "12.5 13 ? 15.2 ..." : "Type here";
  place("read").textContent = VERBS[task] ?? "Read";
  for (const name of ["read", "compare"]) place(name).hidden = !viewed();
  const typed = viewed() || task === "generate";
  for (const name of ["text-label", "text"]) place(name).hidden = !typed;
  place("hint").textContent = HINTS[typed ? 0 : 1];
  for (const name of ["write", "another", "settings"]) place(name).hidden = task !== "generate";
  place("training-facts").replaceChildren(scores(), reportLink());
  clear();
}

function scores() {
  const known = Object.entries(model().metrics).filter(([, value]) => typeof value === "number");
  if (!known.length) return "";
  const rows = known.map(([name, value]) => make("tr", {},
    make("th", {scope: "row"}, name.replaceAll("_", " ")), make("td", {}, number(value))));
  return make("table", {}, make("caption", {}, "Scores on the rows kept for the test"), make("tbody", {}, ...rows));
}

/** The report opens by itself, in a sandbox; where a token is needed, which a link cannot give, it is saved. */
function reportLink() {
  const {name, report} = model();
  if (!report) return make("p", {class: "faint"}, "Its folder holds no report; seqloom report writes one.");
  const path = `/v1/models/${encodeURIComponent(name)}/report`;
  if (!access.token) {
    const link = {href: path, target: "_blank", rel: "noopener", id: "report"};
    return make("p", {}, make("a", link, "The whole training report"));
  }
  return button("Save the training report", () => attempt(() => save(path, `${name}-report.html`)), {id: "report"});
}

async function save(path, name) {
  const url = URL.createObjectURL(await (await send(path)).blob());
  make("a", {href: url, download: name}).click();
  URL.revokeObjectURL(url);
}

function clear() {
  asked.abort();
  player.load(0, () => "");
  views = [];
  place("change").hidden = true;
  for (const name of ["panels", "text-written", "trouble", "contrast"]) place(name).replaceChildren();
}

// What is asked

async function attempt(work) {
  place("trouble").textContent = "";
  try {
    await work();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.status === 401) {
      place("token-form").hidden = false;
      place("token").focus();
    }
    place("trouble").textContent = error.message;
  }
}

/** A new question ends the one before. */
function begin() {
  asked.abort();
  asked = new AbortController();
  return asked.signal;
}

function given(text) {
  if (model().task !== "forecast") return text;
  return text.split(/[\s,;]+/).filter(Boolean).map((each) => {
    if (each === "?") return null;
    const value = Number(each);
    if (!Number.isFinite(value)) throw new Error(`\u201c${each}\u201d is no number; write ? where a value is missing.`);
    return value;
  });
}

async function look() {
  const signal = begin();
  const {name, task} = model();
  const texts = [place("text").value, ...(comparing() ? [place("second").value] : [])];
  place("panels").setAttribute("aria-busy", "true");
  try {
    const answers = await Promise.all(texts.map((text) => ask("/v1/look", {model: name, input: given(text)}, signal)));
    place("text-written").replaceChildren();
    present(task, answers.map((each) => each.seen));
  } finally {
    if (!signal.aborted) place("panels").removeAttribute("aria-busy");
  }
  const link = new URLSearchParams({model: name, text: texts[0], ...(comparing() ? {second: texts[1]} : {})});
  history.replaceState(null, "", `#${link}`);
}

// What is shown

function present(task, seen) {
  views = seen.map((each) => viewOf(task, each, (to) => player.go(to)));
  const two = views.length > 1;
  place("panels").classList.toggle("two", two);
  const titles = two ? ["First", "Second"] : ["What it saw"];
  place("panels").replaceChildren(...views.map((view, at) => make("section", {class: "panel", "aria-label": titles[at]},
    ...(two ? [make("h2", {}, titles[at])] : []), view.element)));
  place("change").hidden = two || !views[0].ofWords;
  place("contrast").textContent = two ? contrast() : "";
  player.load(Math.max(...views.map((view) => view.steps)), show);
}

/** What a step shows, and says. */
function show(step) {
  return views.map((view) => view.show(Math.min(step, view.steps))).join(" ");
}

/** Mark the tokens in which two texts differ, and say what that did to the answer. */
function contrast() {
  const [first, second] = views;
  difference(first.tokens, second.tokens).forEach((marks, at) => {
    marks.forEach((changed, token) => views[at].parts[token]?.classList.toggle("changed", changed));
  });
  return first.summary === second.summary
    ? `Both: ${first.summary}`
    : `First: ${first.summary} \u2192 second: ${second.summary}`;
}

/** Open the comparison with the word of this step selected, to be typed over. */
function change() {
  const [view] = views;
  player.pause();
  compare(true);
  const field = place("second"), text = field.value = place("text").value;
  field.focus();
  const tokens = view.tokens.map((each) => each.toLowerCase());
  let start = 0, end = 0;
  for (const token of tokens.slice(0, player.step)) {
    const found = text.toLowerCase().indexOf(token, end);
    if (found < 0) continue;
    [start, end] = [found, found + token.length];
  }
  field.setSelectionRange(start, end);
}

function compare(on) {
  place("second-input").hidden = !on;
  place("compare").setAttribute("aria-pressed", on);
  if (on && !place("second").value) place("second").value = place("text").value;
}

async function goOn() {
  clear();
  const signal = begin();
  place("stop").hidden = false;
  try {
    const whole = await write(model().name, place("text").value, place("text-written"), signal);
    place("text-written").append(button("Read all of it", () => {
      place("text").value = whole;
      attempt(look);
    }));
  } finally {
    if (asked.signal === signal) place("stop").hidden = true;
  }
}

// What the user does

place("player-place").append(player.element);
addSettings(place("setting-fields"));
place("model").addEventListener("change", describe);
place("panels").addEventListener("choose", () => views.forEach((view) => view.redraw?.()));
place("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(model() && !viewed() ? goOn : look);
});
for (const field of [place("text"), place("second")]) {
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    place("ask").requestSubmit(place("read"));
  });
}
place("compare").addEventListener("click", () => {
  compare(!comparing());
  place(comparing() ? "second" : "text").focus();
});
place("write").addEventListener("click", () => attempt(goOn));
place("another").addEventListener("click", () => {
  drawAnother();
  attempt(goOn);
});
place("stop").addEventListener("click", () => asked.abort());
place("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  access.token = place("token").value;
  attempt(load);
});
place("change").addEventListener("click", change);
document.addEventListener("keydown", (event) => {
  if (event.key !== "c" || event.ctrlKey || event.metaKey || event.altKey || place("change").hidden) return;
  if (event.target.closest("input, textarea, select")) return;
  event.preventDefault();
  change();
});
attempt(load);
