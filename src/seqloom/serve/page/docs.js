// Lists the operations of openapi.json, with the fields that each takes.
"use strict";

function add(parent, name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  parent.append(element);
  return element;
}

function schemaOf(described, operation) {
  const schema = operation.requestBody?.content["application/json"].schema;
  return schema?.$ref ? described.components.schemas[schema.$ref.split("/").pop()] : schema;
}

function typeOf(property) {
  const kinds = property.anyOf ? property.anyOf.map(typeOf) : [property.type || "any"];
  return [...new Set(kinds)].join(" or ");
}

async function list() {
  const described = await (await fetch("/openapi.json")).json();
  for (const [path, methods] of Object.entries(described.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const section = document.getElementById("operations").appendChild(document.createElement("section"));
      add(section, "h2", `${method.toUpperCase()} ${path}`);
      add(section, "p", operation.summary || "");
      const schema = schemaOf(described, operation);
      if (!schema) continue;
      const fields = section.appendChild(document.createElement("dl"));
      for (const [name, property] of Object.entries(schema.properties)) {
        add(fields, "dt", `${name}${(schema.required || []).includes(name) ? " (needed)" : ""}: ${typeOf(property)}`);
        add(fields, "dd", property.description || "");
      }
    }
  }
}

list();
