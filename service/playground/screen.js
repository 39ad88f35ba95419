// The page on a projector, by keyboard alone. Letters do something only there: who dictates may type them unasked (WCAG
// 2.1.4).

import { say } from "./words.js";

// What is done with some keys where these have the focus is theirs.
const PRESSED = "button, summary, input:is([type=radio], [type=checkbox])";
const OWN = { " ": PRESSED, ArrowLeft: "[type=radio]", ArrowRight: "[type=radio]" };
const TYPED = "input:not([type=range], [type=radio], [type=checkbox]), select, textarea, [role=img][tabindex], dialog";

export class Screen {
  /** `onScreen(is)` when it changes; `player()`: of what is shown; `generate()`. */
  constructor(button, { onScreen, player, generate }) {
    Object.assign(this, { button, onScreen, player, generate });
    this.is = false;
    button.addEventListener("click", () => this.toggle());
    document.addEventListener("fullscreenchange", () => !document.fullscreenElement && this.is && this.set(false));
    document.addEventListener("keydown", (event) => this.pressed(event));
  }

  /** The layout; a link opens in it, and the browser's own full screen needs a key or a click. */
  set(is) {
    if (is === this.is) return;
    this.is = is;
    this.button.textContent = say(is ? "page leave screen" : "page screen");
    if (is) document.body.dataset.screen = "";
    else delete document.body.dataset.screen;
    this.onScreen(is);
  }

  press(name) {
    document.querySelector(`.scrubber:not([hidden]) [name=${name}]`)?.click();
  }

  toggle() {
    this.set(!this.is);
    if (this.is) document.documentElement.requestFullscreen?.().catch(() => {}); // where it is refused, the layout stays
    else if (document.fullscreenElement) document.exitFullscreen();
  }

  pressed(event) {
    if (!this.is || event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.(TYPED)) return;
    if (event.key in OWN && event.target.closest?.(OWN[event.key])) return;
    const player = this.player();
    const { position, count } = player;
    const keys = {
      Escape: () => this.toggle(),
      f: () => this.toggle(),
      ArrowLeft: () => player.seek(Math.ceil(position) - 1),
      ArrowRight: () => player.seek(Math.floor(position) + 1),
      Home: () => player.seek(0),
      End: () => player.seek(count - 1),
      " ": () => (player.playing ? player.pause() : player.replay()),
      g: () => this.generate(),
      s: () => this.press("slow"),
      l: () => this.press("loop"),
    };
    if (!(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  }
}
