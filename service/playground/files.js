// Samples that are there → files of them. Nothing is asked of the service.

import { animated } from "./apng.js";
import { colour, make } from "./elements.js";
import { gif } from "./gif.js";
import { floats, npy } from "./npy.js";
import { withTexts } from "./png.js";
import { recordsWebm, webm } from "./webm.js";
import { zip } from "./zip.js";

const SIDE = 140; // pixels of an image in a picture of several, about
const ALONE = 560; // and of one that stands alone
const GAP = 8; // pixels between images
const FRAME = 120; // milliseconds of a frame of an animation …
const LAST = 1500; // … and of its last one, which is what it was made for
const SAMPLES = new Set(["images", "points", "columns", "table", "labels", "timings", "unknown_words", "labels_drawn"]);

const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

/** What made the samples: with it they can be had again. */
const parametersOf = (result) => Object.fromEntries(Object.entries(result).filter(([name]) => !SAMPLES.has(name)));

/** {ending: () → a promise of bytes} of a run that is done; `picture` is what shows it, and `shown` the frames that it
 * shows: the run's, or those of the way from data to noise. */
export function filesOf(run, picture, shown) {
  return run.kind === "images" ? ofImages(run, picture, shown) : ofPoints(run, picture, shown);
}

function ofImages({ result, frames, shape: [channels, height, width] }, sheet, shown) {
  const parameters = parametersOf(result);
  const records = result.images.map(({ b64_png, ...own }) => ({ ...parameters, ...own })); // its own label, seed and mix
  const draw = (frame) => asOnThePage(frame.x0 ?? frame.x_t, [width, height], sheet.columns);
  return {
    PNG: async () => {
      const made = records.length === 1 ? records[0] : { ...parameters, label: records.map(({ label }) => label) };
      return withTexts(await pngOf(asOnThePage(frames.at(-1).x0, [width, height], sheet.columns)), texts(made));
    },
    zip: async () => {
      const names = result.images.map((_, i) => `${String(i).padStart(4, "0")}.png`);
      const lines = records.map((record, i) => JSON.stringify({ file_name: names[i], ...record }));
      return zip([
        ...names.map((name, i) => [name, bytesOf(result.images[i].b64_png)]),
        ["metadata.jsonl", new TextEncoder().encode(`${lines.join("\n")}\n`)],
      ]);
    },
    ...animations(shown, draw),
    npy: async () => {
      const kept = channels === 1 ? [0] : [0, 1, 2];
      const pixels = frames.at(-1).x0.flatMap((part) => {
        const context = make("canvas", { width, height }).getContext("2d");
        context.drawImage(part.bitmap, 0, 0);
        const { data } = context.getImageData(0, 0, width, height);
        return Array.from({ length: width * height }, (_, i) => kept.map((channel) => data[4 * i + channel])).flat();
      });
      const shape = [result.images.length, height, width];
      return npy(Uint8Array.from(pixels), channels === 1 ? shape : [...shape, channels]);
    },
  };
}

function ofPoints({ result }, cloud, moving) {
  const { points, columns, labels, table } = result;
  const draw = (_, i) => {
    const { frames, position, field } = cloud;
    cloud.field = null; // of most moments it is not there, and to ask for it takes longer than a frame
    cloud.paint(moving, i);
    const picture = onPaper(cloud.canvas);
    cloud.field = field;
    cloud.paint(frames, position);
    return picture;
  };
  return {
    PNG: async () => withTexts(await pngOf(onPaper(cloud.canvas)), texts({ ...parametersOf(result), label: labels })),
    ...animations(moving, draw),
    CSV: async () => {
      if (table) return linesOf([table.columns, ...table.rows]);
      const header = [...columns, ...(labels ? [ownColumn("label", columns)] : [])];
      const rows = points.map((point, i) => [...point, ...(labels ? [labels[i]] : [])]);
      return linesOf([header, ...rows]);
    },
    npy: async () => npy(floats(points.flat()), [points.length, columns.length]),
  };
}

/** A name for a column that is not among those: label, or label_ where they have a label. */
const ownColumn = (name, others) => (others.includes(name) ? ownColumn(`${name}_`, others) : name);

const texts = (parameters) => ({ Software: "Spirale", Seed: String(parameters.seed), Parameters: JSON.stringify(parameters) });

const linesOf = (rows) => new TextEncoder().encode(rows.map((row) => `${row.map(cellOf).join(",")}\r\n`).join(""));

const cellOf = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);

/** Images in so many columns, enlarged by a whole number. */
function asOnThePage(parts, [width, height], columns) {
  const zoom = Math.max(1, Math.round((parts.length === 1 ? ALONE : SIDE) / Math.max(width, height)));
  const gap = parts.length === 1 ? 0 : GAP;
  const rows = Math.ceil(parts.length / columns);
  const canvas = make("canvas", {
    width: columns * (width * zoom + gap) - gap, height: rows * (height * zoom + gap) - gap,
  });
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  parts.forEach(({ bitmap, x = 0, y = 0 }, i) => {
    const [column, row] = [i % columns, Math.floor(i / columns)];
    context.drawImage(bitmap, x, y, width, height,
      column * (width * zoom + gap), row * (height * zoom + gap), width * zoom, height * zoom);
  });
  return canvas;
}

/** From noise to samples. `draw(frame, i)` → a canvas. */
function animations(frames, draw) {
  const delays = frames.map((_, i) => (i === frames.length - 1 ? LAST : FRAME));
  return {
    APNG: async () => {
      const pngs = [];
      for (const [i, frame] of frames.entries()) pngs.push(await pngOf(draw(frame, i)));
      return animated(pngs, delays);
    },
    GIF: async () => {
      const { width, height } = draw(frames[0], 0);
      return gif(frames.map((frame, i) => draw(frame, i).getContext("2d").getImageData(0, 0, width, height).data), width, height, delays);
    },
    ...(recordsWebm() && { WebM: () => webm(frames.map(draw), delays) }),
  };
}

/** A canvas that is transparent, over the page's own colour. */
function onPaper(canvas) {
  const page = make("canvas", { width: canvas.width, height: canvas.height });
  const context = page.getContext("2d");
  context.fillStyle = colour("paper");
  context.fillRect(0, 0, page.width, page.height);
  context.drawImage(canvas, 0, 0);
  return page;
}

/** A canvas → the bytes of a PNG. */
export async function pngOf(canvas) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new Uint8Array(await blob.arrayBuffer());
}
