// Shows the models and what the chosen one answers. Whatever comes from a model or a user is shown as text.
"use strict";

const place = (id) => document.getElementById(id);
const models = new Map();

async function ask(path, body) {
  const headers = {"content-type": "application/json"};
  if (place("token").value) headers.authorization = `Bearer ${place("token").value}`;
  const response = await fetch(path, body ? {method: "POST", headers, body: JSON.stringify(body)} : {headers});
  const told = await response.json();
  if (response.status === 401) place("token-row").hidden = false;
  if (!response.ok) throw new Error(told.error.message);
  return told;
}

function describe() {
  const model = models.get(place("model").value);
  place("about").textContent = model
    ? `${model.task}: ${model.input} → ${model.target}, ${model.cell}, ${model.parameters.toLocaleString("en")} parameters`
    : "";
}

function show(lines) {
  place("answer").replaceChildren(...lines.map((line) => {
    const paragraph = document.createElement("p");
    paragraph.textContent = line;
    return paragraph;
  }));
}

function said(answer) {
  if (answer.error) return [answer.error.message];
  if (answer.tags) return answer.tokens.map((token, at) => `${token}: ${answer.tags[at]}`);
  if (answer.forecast) return [answer.forecast.join(", ")];
  const chances = Object.entries(answer.probabilities || {}).sort((a, b) => b[1] - a[1]).slice(0, 10);
  return [`${answer.prediction}`, ...chances.map(([label, chance]) => `${label}: ${(100 * chance).toFixed(1)} %`)];
}

function given() {
  const text = place("text").value;
  if (models.get(place("model").value)?.task !== "forecast") return text;
  return text.split(/[\s,;]+/).filter(Boolean).map(Number);
}

async function load() {
  for (const model of (await ask("/v1/models")).models) {
    models.set(model.name, model);
    place("model").add(new Option(model.name, model.name));
  }
  describe();
}

async function predict() {
  if (!models.size) await load();
  const body = {inputs: [given()], model: place("model").value};
  show(said((await ask("/v1/predict", body)).predictions[0]));
}

const attempt = (work) => work().catch((error) => show([error.message]));

place("model").addEventListener("change", describe);
place("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(predict);
});
attempt(load);
