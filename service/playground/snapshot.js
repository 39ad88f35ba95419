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
    const range = document.createRange();
    range.selectNodeContents(texts.currentNode);
    const { left, top, width, height } = range.getBoundingClientRect();
    if (!width) continue;
    const style = getComputedStyle(texts.currentNode.parentElement);
    context.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    context.fillStyle = style.color;
    context.fillText(texts.currentNode.data, left, top + height / 2, width);
  }
  return canvas;
}
