// What can be taken along: a link, commands, files.

import { curl, fileName, httpx, notByOpenai, openai } from "./commands.js";
import { make } from "./elements.js";
import { asQuery } from "./link.js";
import { say } from "./words.js";

const ENDINGS = { APNG: "apng.png" }; // an animation is a PNG, and what knows no animations shows its first frame
const COPIED = 1500; // milliseconds for which a button says so
const PATIENCE = 300; // milliseconds that a file may take without a word

/** The address of what is chosen. */
export const linkTo = (settled) => new URL(`?${asQuery(settled)}`, document.baseURI).href;

export class Take {
  /** `onError(error)` when a file could not be made. */
  constructor(element, onError) {
    this.onError = onError;
    this.code = make("pre", { tabIndex: 0, role: "region", "aria-label": say("command"), hidden: true }, make("code"));
    this.ways = make("div", { className: "buttons" });
    this.told = make("p", { className: "note", role: "status" });
    element.replaceChildren(this.ways, this.told, this.code);
  }

  /** settled: what was sampled; files: {ending: () → a promise of bytes}; step: () → the one that is looked at, or null.
   * A comparison is several requests, so that there is no command for it. */
  show(settled, files, step = () => null) {
    const reason = notByOpenai(settled);
    const commands = settled.view === "compare" ? [] : [
      this.command("curl", () => curl(settled)),
      this.command("Python", () => httpx(settled)),
      reason === null ? this.command("OpenAI", () => openai(settled)) : make("button", { type: "button",
        "aria-disabled": "true", title: reason, onclick: () => this.tell(reason) }, "OpenAI"),
    ];
    const downloads = Object.entries(files).map(([name, bytes]) => make("button", { type: "button",
      onclick: ({ target }) => this.download(target, `${fileName(settled)}.${ENDINGS[name] ?? name.toLowerCase()}`, bytes) }, name));
    this.clear();
    this.ways.append(
      make("span", { className: "group" }, make("span", { className: "what" }, say("copy")),
        this.copies(say("link"), () => linkTo({ ...settled, step: step() })), ...commands),
      make("span", { className: "group" }, make("span", { className: "what" }, say("download")), ...downloads),
    );
  }

  clear() {
    this.code.hidden = true;
    this.tell("");
    this.ways.replaceChildren();
  }

  tell(text) {
    this.told.textContent = text;
  }

  command(name, code) {
    return this.copies(name, () => {
      this.code.hidden = false;
      this.code.firstChild.textContent = code();
      return code();
    });
  }

  /** A button that copies; where the browser does not let it, the text stands below to be copied by hand. */
  copies(name, text) {
    const button = make("button", { type: "button" }, name);
    button.addEventListener("click", async () => {
      const copied = text();
      const done = say("copied", { name });
      try {
        await navigator.clipboard.writeText(copied);
        this.tell(done);
        setTimeout(() => this.told.textContent === done && this.tell(""), COPIED);
      } catch {
        this.code.hidden = false;
        this.code.firstChild.textContent = copied;
        getSelection().selectAllChildren(this.code);
        this.tell(say("copy by hand"));
      }
    });
    return button;
  }

  /** What was drawn, as a file: it is here already, and not sampled once more. A video takes as long as it lasts. */
  async download(button, name, bytes) {
    const making = say("making", { name: button.textContent });
    const patience = setTimeout(() => this.tell(making), PATIENCE);
    button.disabled = true;
    try {
      const address = URL.createObjectURL(new Blob([await bytes()]));
      make("a", { href: address, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    } catch (error) {
      this.onError(error);
    } finally {
      clearTimeout(patience);
      button.disabled = false;
      if (this.told.textContent === making) this.tell("");
    }
  }
}
