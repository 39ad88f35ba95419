// Server-sent events of a POST, which EventSource cannot make: read from the answer's body as it comes.

import { ask, Problem, silent } from "./api.js";

/** The events of a text/event-stream, a ReadableStream of bytes: {name, data}, the data parsed as JSON.
 *
 * Throws Problem where the connection breaks. */
export async function* eventsOf(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read().catch(broken);
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = parse(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // whoever stops listening early lets go of the connection
  }
}

/** TypeError is what the browser raises of a connection; an abort stays an AbortError. */
function broken(error) {
  throw error instanceof TypeError ? silent() : error;
}

function parse(block) {
  const lines = block.split("\n");
  const field = (name) => lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2));
  const data = field("data");
  return data.length ? { name: field("event")[0] ?? "message", data: JSON.parse(data.join("\n")) } : null;
}

/** Ask for samples, and tell of them while they form: `onWaiting({jobs, seconds})` while others run first, and
 * `onProgress(data)` for each preview. Resolves to the result.
 *
 * Throws Problem. */
export async function sampled(body, { onProgress = () => {}, onWaiting = () => {}, signal } = {}) {
  const answer = await ask("sample", { body, accept: "text/event-stream", signal });
  for await (const { name, data } of eventsOf(answer.body)) {
    if (name === "progress") await onProgress(data);
    else if (name === "waiting") onWaiting(data);
    else if (name === "result") return data;
    else if (name === "error") throw new Problem(data.status, data.detail);
  }
  throw silent(); // it ended before it was done
}
