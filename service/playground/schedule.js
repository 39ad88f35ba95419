// The noise schedule: how much of the data is left at a timestep, and what a sample looks like there.

import { make } from "./elements.js";

/** The log of the signal-to-noise ratio at ᾱ. */
export const logSnr = (alphaBar) => Math.log(alphaBar / (1 - alphaBar));

/** Standard normal numbers, the same ones for the same seed: mulberry32, then Box and Muller. */
export function normals(count, seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
  return Array.from({ length: count }, () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()));
}

/** x_t = √ᾱ x_0 + √(1−ᾱ) ε of a value, all in the data's own units, where the network sees (x − mean)/std. */
export function noised(value, noise, alphaBar, mean, std) {
  return mean + Math.sqrt(alphaBar) * (value - mean) + Math.sqrt(1 - alphaBar) * std * noise;
}

/** The forward process: frames like a Trajectory's, from data to noise, at these timesteps in ascending order.
 *
 * data  points [[…], …], or parts of bitmaps of that shape
 */
export function forward(data, timesteps, schedule, { kind, shape, seed }) {
  const of = timesteps.length - 1;
  const at = kind === "points" ? pointsAt(data, schedule, seed) : imagesAt(data, shape, schedule, seed);
  return timesteps.map((timestep, step) => {
    const x_t = at(schedule.alpha_bar[timestep]);
    return { step, of, timestep, x0: x_t, x_t };
  });
}

function pointsAt(points, { mean, std }, seed) {
  const noise = normals(points.length * mean.length, seed);
  return (alphaBar) => points.map((point, i) =>
    point.map((value, axis) => noised(value, noise[i * mean.length + axis], alphaBar, mean[axis], std[axis])));
}

function imagesAt(parts, [channels, height, width], { mean, std }, seed) {
  const originals = parts.map(({ bitmap, x = 0, y = 0 }) => {
    const context = make("canvas", { width, height }).getContext("2d");
    context.drawImage(bitmap, x, y, width, height, 0, 0, width, height);
    return context.getImageData(0, 0, width, height);
  });
  const noise = normals(parts.length * channels * height * width, seed);
  return (alphaBar) => originals.map((original, image) => {
    const bitmap = make("canvas", { width, height });
    const pixels = new ImageData(width, height);
    for (let i = 0; i < 4 * width * height; i += 4) {
      for (let channel = 0; channel < 3; channel++) {
        const own = Math.min(channel, channels - 1); // grey has the same noise in all three
        const one = noise[(image * channels + own) * width * height + i / 4];
        pixels.data[i + channel] = Math.round(noised(original.data[i + own], one, alphaBar, mean[own], std[own]));
      }
      pixels.data[i + 3] = 255;
    }
    bitmap.getContext("2d").putImageData(pixels, 0, 0);
    return { bitmap };
  });
}
