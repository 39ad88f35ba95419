// What is in the way: said, with a way on.

import { asProblem } from "./api.js";
import { KeyField } from "./key.js";
import { Notice } from "./notice.js";

export class Trouble {
  /** elements: notice and key. `onCheaper(draft)`, `onKey()`. */
  constructor({ notice, key }, { onCheaper, onKey }) {
    this.notice = new Notice(notice, onCheaper);
    this.key = new KeyField(key, onKey);
  }

  clear() {
    this.notice.clear();
  }

  /** Something that the service would refuse: it is not asked. */
  say(message) {
    this.notice.show({ message, status: 422 });
  }

  /** error: of any kind; an abort is nobody's trouble. retry, draft: see Notice.show. */
  show(error, ways) {
    const problem = asProblem(error);
    if (problem?.status === 401) this.key.ask();
    else if (problem) this.notice.show(problem, ways);
  }
}
