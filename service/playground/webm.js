// A run as a WebM video. The browser records it while it plays, so that it takes as long as the video lasts.

import { make } from "./elements.js";

const KIND = "video/webm";
const EVERY = 40; // milliseconds between two frames of the video; a picture that stays has many
const BITS = 8_000_000; // a second: pixels keep their edges

/** Can this browser record one? */
export const recordsWebm = () =>
  Boolean(globalThis.MediaRecorder?.isTypeSupported(KIND) && HTMLCanvasElement.prototype.captureStream);

/** pictures: canvases alike in size; delays: milliseconds for which each is shown. → a promise of bytes */
export async function webm(pictures, delays) {
  const [{ width, height }] = pictures;
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d"); // a canvas without one has no stream
  const stream = canvas.captureStream();
  const recorder = new MediaRecorder(stream, { mimeType: KIND, videoBitsPerSecond: BITS });
  const parts = [];
  const ended = new Promise((resolve, reject) => {
    recorder.ondataavailable = ({ data }) => parts.push(data);
    recorder.onstop = resolve;
    recorder.onerror = ({ error }) => reject(error);
  });
  recorder.start();
  for (const [i, picture] of pictures.entries()) {
    const until = performance.now() + delays[i];
    do {
      context.drawImage(picture, 0, 0);
      await new Promise((resolve) => setTimeout(resolve, EVERY));
    } while (performance.now() < until);
  }
  recorder.stop();
  await ended;
  for (const track of stream.getTracks()) track.stop();
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}
