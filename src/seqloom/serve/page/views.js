// What was seen in one input, for each kind of model: an element, its number of steps, and what each step shows.
//
// Each function takes what /v1/look answered and gives {element, tokens, steps, show(step), summary}. Steps count from 1;
// `show` returns the step in words. `tokens` are compared with those of another input; their `parts` can be marked as
// changed. `ofWords` says that each step is one of them.

import {make, number, percent, plural, quoted} from "./dom.js";
import {STRONGEST, bars, gapsOf, mark, strip} from "./pieces.js";
import {reading} from "./reading.js";
import {Timeline} from "./timeline.js";

/** The view of a task. `pick(step)` is called where a step is pointed at. */
export function viewOf(task, seen, pick) {
  const views = {translate: attention, tag: tags, generate: surprises, forecast: series};
  return (views[task] ?? reading)(seen, pick);
}

function tags(seen, pick) {
  const words = seen.tokens.map((token, at) => {
    const box = make("span", {class: `word ${seen.known[at] ? "" : "unknown"}`},
      make("bdi", {}, token), make("bdi", {class: "tag"}, seen.tags[at]));
    box.title = seen.known[at] ? "" : "training did not have this word";
    box.addEventListener("click", () => pick(at + 1));
    return box;
  });
  const chances = bars(seen.chances[0].map((each) => each.tag), {label: "The likeliest tags of the word"});
  const which = make("h3", {});
  const show = (step) => {
    mark(words, step);
    const word = seen.chances[step - 1];
    which.textContent = `What ${quoted(seen.tokens[step - 1])} might be`;
    chances.show(word.map((each) => each.probability), word.map((each) => each.tag));
    return `${quoted(seen.tokens[step - 1])}, ${step} of ${plural(words.length, "word")}: ${seen.tags[step - 1]}, `
      + word.map((each) => `${each.tag} ${percent(each.probability)}`).join(", ");
  };
  const element = make("div", {}, make("p", {class: "words", dir: "auto"}, ...words), which, chances.element);
  return {element, tokens: seen.tokens, parts: words, ofWords: true, steps: words.length, show, summary: seen.tags.join(" ")};
}

function attention(seen, pick) {
  const answer = strip(seen.tokens, {gaps: gapsOf(seen.tokens, seen.prediction), label: "What was written", pick});
  const source = strip(seen.source, {gaps: gapsOf(seen.source, seen.input), label: "What was read"});
  const said = make("p", {class: "said"});
  const element = make("div", {},
    make("h3", {}, "Read"), source.element, make("h3", {}, "Written"), answer.element, said);
  const [sheet, plot] = seen.weights && seen.tokens.length ? attended(seen) : [null, null];
  if (sheet) element.append(sheet.element);
  else element.append(make("p", {class: "faint"}, "This model has no attention: it writes from its memory alone."));
  const show = (step) => {
    if (!seen.tokens.length) return (said.textContent = "It wrote nothing.");
    const token = seen.tokens[step - 1], weights = seen.weights?.[step - 1];
    mark(answer.parts, step);
    if (weights) {
      source.parts.forEach((part, at) => {
        part.classList.add("for");
        part.style.setProperty("--share", STRONGEST * weights[at]);
      });
      sheet.showRow(plot, step - 1);
    }
    said.textContent = `Token ${step} of ${seen.tokens.length}, ${quoted(token)}`
      + (weights ? `: it looked most at ${most(weights, seen.source)}.` : ".");
    return said.textContent;
  };
  return {element, tokens: seen.source, parts: source.parts, ofWords: true, steps: seen.tokens.length, show, summary: seen.prediction};
}

function attended(seen) {
  const sheet = new Timeline(seen.source, {caption: "What each token written attended to", widest: 36});
  sheet.title("Where it looked while it wrote");
  sheet.names();
  const rows = seen.tokens.map((name, at) => ({name, values: seen.weights[at]}));
  return [sheet, sheet.map(rows, {unit: "share of attention, a row for each token written", named: false})];
}

function most(weights, names) {
  const order = weights.map((_, at) => at).sort((a, b) => weights[b] - weights[a]).slice(0, 2);
  return order.map((at) => `${quoted(names[at])} (${percent(weights[at])})`).join(" and ");
}

function surprises(seen, pick) {
  const titles = seen.bits.map((bits) => `${bits.toFixed(2)} bits`);
  const gaps = gapsOf(seen.tokens, seen.input);
  const text = strip(seen.tokens, {values: seen.bits, titles, gaps, label: "What was read, darker where it surprised", pick});
  const expected = bars(seen.likeliest[0].map(([token]) => token), {label: "What it expected"});
  const sheet = new Timeline(seen.tokens, {pick: (column) => pick(column + 1), caption: "Surprise by token"});
  sheet.title("Surprise, in bits");
  const high = Math.max(...seen.bits, 1);
  sheet.bars(seen.bits, {high, show: (value) => value.toFixed(1), label: "the surprise of each token, in bits"});
  sheet.names();
  const said = make("p", {class: "said"});
  const show = (step) => {
    // One step more than tokens: what may come next.
    const ahead = step > seen.tokens.length;
    mark(text.parts, step);
    sheet.show(Math.min(step, seen.tokens.length) - 1);
    expected.show(seen.likeliest[step - 1].map(([, chance]) => chance), seen.likeliest[step - 1].map(([token]) => token));
    said.textContent = ahead
      ? "What it expects to come next:"
      : `${quoted(seen.tokens[step - 1])} surprised it by ${plural(Number(seen.bits[step - 1].toFixed(2)), "bit")}. In its place it expected:`;
    return `${said.textContent} ${seen.likeliest[step - 1].map(([token, chance]) => `${quoted(token)} ${percent(chance)}`).join(", ")}`;
  };
  const mean = make("p", {class: "faint"}, `${plural(seen.tokens.length, "token")}, ${seen.bits_per_token.toFixed(2)} bits each on average.`);
  const element = make("div", {}, text.element, said, expected.element, sheet.element, mean);
  const summary = `${seen.bits_per_token.toFixed(2)} bits a token`;
  return {element, tokens: seen.tokens, parts: text.parts, ofWords: true, steps: seen.likeliest.length, show, summary};
}

function series(seen) {
  const before = seen.history.length, levels = Object.keys(seen.quantiles);
  const after = (values) => values.map((value, at) => [before + at, value]);
  const known = seen.history.map((value, at) => [at, value]);
  const [low, high] = [levels[0], levels.at(-1)].map((level) => seen.quantiles[level]);
  const all = [...seen.history.filter((value) => value !== null), ...seen.forecast, ...low, ...high];
  const sheet = new Timeline(seen.times, {caption: "The series and its forecast"});
  sheet.title("So far, and what is forecast");
  const axis = {low: Math.min(...all), high: Math.max(...all), show: number, label: "the series, and its forecast with a band"};
  const band = levels.length > 1 ? {low: after(low), high: after(high), colour: 2} : null;
  const lines = [{points: known, colour: 0}, {points: after(seen.forecast), colour: 2}];
  sheet.curves(lines, {...axis, band});
  sheet.names();
  const head = make("tr", {}, ...["step", "forecast", ...levels].map((name) => make("th", {scope: "col"}, name)));
  const rows = seen.forecast.map((value, at) => {
    const values = [value, ...levels.map((level) => seen.quantiles[level][at])].map((each) => make("td", {}, number(each)));
    return make("tr", {}, make("th", {scope: "row"}, seen.times[before + at]), ...values);
  });
  const table = make("div", {class: "wide"}, make("table", {}, make("caption", {}, "Forecast, with its quantiles"),
    make("thead", {}, head), make("tbody", {}, ...rows)));
  const summary = seen.forecast.map(number).join(", ");
  const show = () => `Forecast: ${summary}`;
  return {element: make("div", {}, sheet.element, table), tokens: seen.times, parts: [], steps: 1, show, summary};
}
