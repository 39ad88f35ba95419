// Base64 PNGs → pixels on canvases.

import { make } from "./elements.js";

const SHEET_LINE = 1; // pixels between the images of a contact sheet, as the service makes it

/** Base64 of a PNG → an image that canvases draw. A Blob of it would be slower by far: each is a call to another process. */
export async function imageOf(base64) {
  const image = new Image();
  await new Promise((resolve, reject) => {
    image.onload = resolve;
    image.onerror = () => reject(new Error("not a PNG"));
    image.src = `data:image/png;base64,${base64}`;
  });
  return image;
}

/** A contact sheet of n images → where the i-th is on it: {bitmap, x, y}. */
export function cut(bitmap, n, [, height, width]) {
  const columns = Math.ceil(Math.sqrt(n));
  const at = (i) => ({
    x: (i % columns) * (width + SHEET_LINE),
    y: Math.floor(i / columns) * (height + SHEET_LINE),
  });
  return Array.from({ length: n }, (_, i) => ({ bitmap, ...at(i) }));
}

/** How many of n images stand in a line, so that the lines are nearly full, and no more than twice as many as lines. */
export function across(n) {
  const least = Math.ceil(Math.sqrt(n));
  const possible = Array.from({ length: Math.floor(1.75 * Math.sqrt(n)) - least + 1 }, (_, i) => least + i);
  const empty = (columns) => Math.ceil(n / columns) * columns - n;
  return possible.reduce((best, columns) => (empty(columns) < empty(best) ? columns : best));
}

/** A canvas as large as the model's images: the style sheet enlarges it. */
export function tile([, height, width], label) {
  return make("canvas", { width, height, className: "tile", role: "img", "aria-label": label });
}

export function paint(canvas, { bitmap, x = 0, y = 0 }) {
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, x, y, canvas.width, canvas.height, 0, 0, canvas.width, canvas.height);
}

/** A PNG of base64 in an element that has one canvas. Throws AbortError where it comes too late. */
export async function showPicture(element, base64, signal) {
  const bitmap = await imageOf(base64);
  signal.throwIfAborted();
  const canvas = element.querySelector("canvas");
  Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  paint(canvas, { bitmap });
  element.hidden = false;
}

export function wipe(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}
