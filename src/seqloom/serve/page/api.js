// What the server is asked, and what it answers or why it does not.

/** The server said no; `message` says why, in its words. */
export class Refused extends Error {
  constructor(status, error) {
    super(error.hint ? `${error.message} (${error.hint})` : error.message);
    this.status = status;
  }
}

/** The token that a server may ask for; kept nowhere but here. */
export const access = {token: ""};

export async function send(path, {body, signal} = {}) {
  const headers = {};
  if (body) headers["content-type"] = "application/json";
  if (access.token) headers.authorization = `Bearer ${access.token}`;
  const options = body ? {method: "POST", headers, body: JSON.stringify(body), signal} : {headers, signal};
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Error("The server does not answer. Is it still running?");
  }
  if (!response.ok) throw new Refused(response.status, await told(response));
  return response;
}

async function told(response) {
  try {
    return (await response.json()).error;
  } catch {
    return {message: `The server answered ${response.status}.`};
  }
}

export async function ask(path, body, signal) {
  return (await send(path, {body, signal})).json();
}

/** The server-sent events of an answer, as [name, values], as they come. */
export async function* events(path, body, signal) {
  const reader = (await send(path, {body, signal})).body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    const parts = (waiting + value).split("\n\n");
    waiting = parts.pop();
    for (const part of parts) {
      const fields = part.split("\n").map((line) => line.split(/: (.*)/s));
      const {event, data} = Object.fromEntries(fields);
      if (event) yield [event, JSON.parse(data)];
    }
  }
}
