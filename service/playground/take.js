// What can be taken along: a link, commands, files.

import { ask } from "./api.js";
import { asQuery, asRequest } from "./choice.js";
import { curl, fileName, httpx, notByOpenai, openai } from "./commands.js";
import { make } from "./elements.js";

const FILES = {
  images: { PNG: "image/png", zip: "application/zip", npy: "application/x-npy" },
  points: { PNG: "image/png", CSV: "text/csv", npy: "application/x-npy" },
};
const COPIED = 1500; // milliseconds for which a button says so

/** The address of what is chosen. */
export const linkTo = (settled) => new URL(`?${asQuery(settled)}`, document.baseURI).href;

export class Take {
  /** `onError(error)` when a download failed. */
  constructor(element, onError) {
    this.onError = onError;
    this.code = make("pre", { tabIndex: 0, role: "region", "aria-label": "Command", hidden: true }, make("code"));
    this.ways = make("div", { className: "buttons" });
    this.told = make("p", { className: "note", role: "status" });
    element.replaceChildren(this.ways, this.told, this.code);
  }

  /** settled: what was sampled. In a comparison of several requests there is the link alone. */
  show(settled) {
    const several = settled.view === "compare";
    const reason = notByOpenai(settled);
    const files = several ? [] : Object.entries(FILES[settled.can.dataset.kind]);
    const commands = several ? [] : [
      this.command("curl", () => curl(settled)),
      this.command("Python", () => httpx(settled)),
      reason === null ? this.command("OpenAI", () => openai(settled)) : make("button", { type: "button",
        "aria-disabled": "true", title: reason, onclick: () => this.tell(reason) }, "OpenAI"),
    ];
    this.clear();
    this.ways.append(
      make("span", { className: "group" }, make("span", { className: "what" }, "Copy"),
        this.copies("Link", () => linkTo(settled)), ...commands),
      make("span", { className: "group", hidden: several }, make("span", { className: "what" }, "Download"),
        ...files.map(([name, type]) => make("button", { type: "button",
          onclick: () => this.download(settled, name.toLowerCase(), type) }, name))),
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
      try {
        await navigator.clipboard.writeText(copied);
        this.tell(`${name} copied.`);
        setTimeout(() => this.told.textContent === `${name} copied.` && this.tell(""), COPIED);
      } catch {
        this.code.hidden = false;
        this.code.firstChild.textContent = copied;
        getSelection().selectAllChildren(this.code);
        this.tell("Selected, to be copied by hand.");
      }
    });
    return button;
  }

  /** The same request once more, as a file: the same seed gives the same samples. */
  async download(settled, ending, accept) {
    try {
      const answer = await ask("sample", { body: asRequest(settled), accept });
      const address = URL.createObjectURL(await answer.blob());
      make("a", { href: address, download: `${fileName(settled)}.${ending}` }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    } catch (error) {
      this.onError(error);
    }
  }
}
