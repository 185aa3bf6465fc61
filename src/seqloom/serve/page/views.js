// What was seen in one input, for each kind of model: an element, its number of steps, and what each step shows.
//
// Each function takes what /v1/look answered, and `pick(step)`, which is called where a step is pointed at. It gives
//   element, steps, show(step)   steps count from 1; `show` returns the step in words
//   tokens, parts, ofWords       compared with those of another input, and where they are shown; `ofWords` says that
//                                each step is one of them
//   summary                      the answer in few words

import {largest, make, number, percent, plural, quoted} from "./dom.js";
import {STRONGEST, bars, gapsOf, mark, strip} from "./pieces.js";
import {reading} from "./reading.js";
import {Timeline} from "./timeline.js";

export function viewOf(task, seen, pick) {
  const views = {translate: attention, tag: tags, generate: surprises, forecast: series};
  return (views[task] ?? reading)(seen, pick);
}

const listed = (chances) => chances.map(([name, chance]) => `${quoted(name)} ${percent(chance)}`).join(", ");

// Tags

function tags(seen, pick) {
  const {tokens} = seen;
  const parts = tokens.map((token, at) => word(token, seen.tags[at], seen.known[at], () => pick(at + 1)));
  const chances = bars(seen.chances[0].length, {label: "The likeliest tags of the word"});
  const which = make("h3", {});
  const show = (step) => {
    const likeliest = seen.chances[step - 1].map(({tag, probability}) => [tag, probability]);
    const token = quoted(tokens[step - 1]);
    mark(parts, step);
    which.textContent = `What ${token} might be`;
    chances.show(likeliest);
    const place = `${step} of ${plural(tokens.length, "word")}`;
    return `${token}, ${place}: ${seen.tags[step - 1]}. Likeliest: ${listed(likeliest)}.`;
  };
  const element = make("div", {}, make("p", {class: "words", dir: "auto"}, ...parts), which, chances.element);
  return {element, steps: tokens.length, show, tokens, parts, ofWords: true, summary: seen.tags.join(" ")};
}

function word(token, tag, known, pick) {
  const title = known ? null : "training did not have this word";
  const box = make("span", {class: `word ${known ? "" : "unknown"}`, title},
    make("bdi", {}, token), make("bdi", {class: "tag"}, tag));
  box.addEventListener("click", pick);
  return box;
}

// Attention

function attention(seen, pick) {
  const written = strip(seen.tokens, {gaps: gapsOf(seen.tokens, seen.prediction), label: "What was written", pick});
  const read = strip(seen.source, {gaps: gapsOf(seen.source, seen.input), label: "What was read"});
  const said = make("p", {class: "said", dir: "auto"});
  const element = make("div", {},
    make("h3", {}, "Read"), read.element, make("h3", {}, "Written"), written.element, said);
  const map = seen.weights && seen.tokens.length ? attended(seen, element) : null;
  const alone = "It has no attention: it writes from its memory alone.";
  if (!seen.weights) element.append(make("p", {class: "faint"}, alone));
  const show = (step) => {
    said.textContent = wrote(seen, step);
    mark(written.parts, step);
    if (map) {
      map.sheet.showRow(map.plot, step - 1);
      light(read.parts, seen.weights[step - 1]);
    }
    return said.textContent;
  };
  const shared = {tokens: seen.source, parts: read.parts, ofWords: false};
  return {element, steps: Math.max(1, seen.tokens.length), show, ...shared, summary: seen.prediction};
}

function wrote(seen, step) {
  if (!seen.tokens.length) return "It wrote nothing.";
  const which = `Token ${step} of ${seen.tokens.length}, ${quoted(seen.tokens[step - 1])}`;
  if (!seen.weights) return `${which}.`;
  const chances = seen.weights[step - 1].map((weight, at) => [seen.source[at], weight]);
  const [first, second] = chances.sort((one, other) => other[1] - one[1]);
  return `${which}: it looked most at ${listed([first])}${second ? ` and ${listed([second])}` : ""}.`;
}

function light(parts, weights) {
  const most = Math.max(...weights);
  parts.forEach((part, at) => {
    part.classList.add("for");
    part.style.setProperty("--share", (STRONGEST * weights[at]) / most);
  });
}

function attended(seen, element) {
  const sheet = new Timeline(seen.source, {caption: "What each token written attended to", widest: 44});
  sheet.title("Where it looked while it wrote");
  sheet.names();
  const rows = seen.tokens.map((name, at) => ({name, values: seen.weights[at]}));
  const most = largest(seen.weights.flat());
  const plot = sheet.map(rows, {most, unit: "share of attention, a row for each token written", named: false});
  element.append(sheet.element);
  return {sheet, plot};
}

// Surprise

/** There is one step more than tokens: what may come next. */
function surprises(seen, pick) {
  const {tokens, bits, likeliest} = seen;
  const titles = bits.map((each) => `${each.toFixed(2)} bits`);
  const label = "What was read, darker where it surprised";
  const text = strip(tokens, {values: bits, titles, gaps: gapsOf(tokens, seen.input), label, pick});
  const expected = bars(likeliest[0].length, {label: "What it expected"});
  const sheet = new Timeline(tokens, {pick: (column) => pick(column + 1), caption: "Surprise by token"});
  sheet.title("Surprise, in bits");
  const high = Math.max(...bits, 1);
  sheet.bars(bits, {high, show: (value) => value.toFixed(1), label: "the surprise of each token, in bits"});
  sheet.names();
  const said = make("p", {class: "said"});
  const show = (step) => {
    mark(text.parts, step);
    sheet.show(Math.min(step, tokens.length) - 1);
    expected.show(likeliest[step - 1]);
    said.textContent = step > tokens.length
      ? "What it expects to come next:"
      : `${quoted(tokens[step - 1])} surprised it by ${bits[step - 1].toFixed(2)} bits. In its place it expected:`;
    return `${said.textContent} ${listed(likeliest[step - 1])}`;
  };
  const mean = `${seen.bits_per_token.toFixed(2)} bits a token`;
  const all = make("p", {class: "faint"}, `${plural(tokens.length, "token")}, ${mean} on average.`);
  const element = make("div", {}, text.element, said, expected.element, sheet.element, all);
  return {element, steps: likeliest.length, show, tokens, parts: text.parts, ofWords: true, summary: mean};
}

// Series

function series(seen) {
  const before = seen.history.length, levels = Object.keys(seen.quantiles);
  const after = (values) => values.map((value, at) => [before + at, value]);
  const [low, high] = [levels[0], levels.at(-1)].map((level) => seen.quantiles[level]);
  const all = [...seen.history.filter((value) => value !== null), ...seen.forecast, ...low, ...high];
  const sheet = new Timeline(seen.times, {caption: "The series and its forecast"});
  sheet.title("So far, and what is forecast");
  const known = seen.history.map((value, at) => [at, value]);
  sheet.curves([{points: known, colour: 0}, {points: after(seen.forecast), colour: 4}], {
    low: Math.min(...all),
    high: Math.max(...all),
    band: levels.length > 1 ? {low: after(low), high: after(high), colour: 4} : null,
    show: number,
    label: "the series, and its forecast with a band",
  });
  sheet.names();
  const element = make("div", {}, sheet.element, quantiles(seen, levels, seen.times.slice(before)));
  const summary = seen.forecast.map(number).join(", ");
  const show = () => `Forecast: ${summary}`;
  return {element, steps: 1, show, tokens: seen.times, parts: [], ofWords: false, summary};
}

function quantiles(seen, levels, times) {
  const head = ["step", "forecast", ...levels].map((name) => make("th", {scope: "col"}, name));
  const rows = times.map((time, at) => {
    const values = [seen.forecast[at], ...levels.map((level) => seen.quantiles[level][at])];
    return make("tr", {}, make("th", {scope: "row"}, time), ...values.map((value) => make("td", {}, number(value))));
  });
  const table = make("table", {}, make("caption", {}, "Forecast, with its quantiles"),
    make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
  return make("div", {class: "wide"}, table);
}
