// Elements made of texts. Nothing here reads HTML, so that no text of a user's or a model's can become any.

const SVG = "http://www.w3.org/2000/svg";

export const place = (id) => document.getElementById(id);

/** An element with attributes, those that are null left out, and children, whose strings are texts. */
export function make(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same within an SVG. */
export function draw(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function button(label, act, attributes = {}) {
  const made = make("button", {type: "button", ...attributes}, label);
  made.addEventListener("click", act);
  return made;
}

export function choice(label, options, chosen, choose) {
  const select = make("select", {}, ...options.map((each) => new Option(each, each, false, each === chosen)));
  select.addEventListener("change", () => choose(select.value));
  return make("label", {class: "choice"}, `${label} `, select);
}

/** Of as many values as there may be: Math.max takes only so many. */
export const largest = (values) => values.reduce((most, value) => Math.max(most, value), -Infinity);

export const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;
export const number = (value) => Number(value.toPrecision(4)).toLocaleString("en", {maximumSignificantDigits: 4});
export const signed = (value) => (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(2);
export const quoted = (text) => `\u201c${visible(text)}\u201d`;
export const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/** A token that is blank has to be shown as something. */
export const visible = (token) => (token.trim() ? token : token.includes("\n") ? "\u21b5" : "\u2423");
