// A part of the page as a picture: its canvases where they stand, and its words.

import { colour, make } from "./elements.js";

const FINE = 2; // pixels for each of the page's
const ROOM = 16; // pixels of the page around it

/** A canvas that shows what the element does. */
export function snapshot(element) {
  const frame = element.getBoundingClientRect();
  const canvas = make("canvas", {
    width: Math.ceil((element.scrollWidth + 2 * ROOM) * FINE), height: Math.ceil((element.scrollHeight + 2 * ROOM) * FINE),
  });
  const context = canvas.getContext("2d");
  context.fillStyle = colour("paper");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.setTransform(FINE, 0, 0, FINE, FINE * (ROOM - frame.left + element.scrollLeft), FINE * (ROOM - frame.top));
  context.imageSmoothingEnabled = false;
  for (const one of element.querySelectorAll("canvas")) {
    const { left, top, width, height } = one.getBoundingClientRect();
    if (one.width && one.height) context.drawImage(one, left, top, width, height);
  }
  context.textBaseline = "middle";
  const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const style = getComputedStyle(texts.currentNode.parentElement);
    context.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    context.fillStyle = style.color;
    for (const { words, left, right, top, height } of linesOf(texts.currentNode)) {
      context.fillText(words.join(" "), left, top + height / 2, right - left);
    }
  }
  return canvas;
}

/** The lines that a text is broken into on the page, each with its words and where they stand. */
function linesOf(text) {
  const lines = [];
  for (const { index, 0: word } of text.data.matchAll(/\S+/g)) {
    const range = document.createRange();
    range.setStart(text, index);
    range.setEnd(text, index + word.length);
    const { left, right, top, height, width } = range.getBoundingClientRect();
    if (!width) continue; // it is hidden
    const line = lines.at(-1);
    if (line && Math.abs(line.top - top) < height / 2) Object.assign(line, { words: [...line.words, word], right });
    else lines.push({ words: [word], left, right, top, height });
  }
  return lines;
}
