// The service's answers, and its problems as exceptions. Every path is relative: the page may live under a prefix.

import { key } from "./key.js";
import { say } from "./words.js";

const BUSY = [429, 504];
const SENDABLE = /^[\x20-\x7e]+$/; // of a key

/** What went wrong, in words for whoever looks at the page. `status` is 0 where nothing answered at all. */
export class Problem extends Error {
  /** retryAfter: seconds. tooMuch: would the service take less of the same? */
  constructor(status, detail, { retryAfter = null, tooMuch = BUSY.includes(status) } = {}) {
    super(detail);
    Object.assign(this, { status, retryAfter, tooMuch });
  }

  /** Would the service say the same to the same again? */
  get refused() {
    return this.status >= 400 && this.status < 500 && !this.tooMuch;
  }
}

/** The Response to a GET, to a POST of `body`, or to another method. Throws Problem; an abort stays an AbortError. */
export async function ask(path, { body, accept, signal, headers: more, method = body ? "POST" : "GET" } = {}) {
  const headers = { ...more };
  if (accept) headers.Accept = accept;
  if (body) headers["Content-Type"] = "application/json";
  if (key.value && !SENDABLE.test(key.value)) throw new Problem(401, say("page key refused")); // no header may hold it
  if (key.value) headers.Authorization = `Bearer ${key.value}`;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    throw error.name === "AbortError" ? error : new Problem(0, say("silent"));
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

export async function askJson(path, options) {
  return (await ask(path, options)).json();
}

async function problemOf(answer) {
  const body = await answer.json().catch(() => null);
  const seconds = Number.parseInt(answer.headers.get("Retry-After"), 10);
  const detail = body?.detail ?? say("answered", { status: `${answer.status} ${answer.statusText}`.trimEnd() });
  const tooLong = answer.status === 422 && body?.errors === undefined; // no field is wrong: it is beyond the deadline
  return new Problem(answer.status, detail, { retryAfter: Number.isNaN(seconds) ? null : seconds, ...(tooLong && { tooMuch: true }) });
}

/** An error of any kind → a Problem, where it is something to tell; null for an abort, which is nobody's trouble. */
export function asProblem(error) {
  if (error.name === "AbortError") return null;
  if (error instanceof Problem) return error;
  console.error(error);
  return new Problem(0, say("page failed", { message: error.message }));
}

export const silent = () => new Problem(0, say("silent"));
