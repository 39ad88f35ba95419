// A run as an animated GIF: slides and chats play it, where of an APNG they show the first frame.

import { joined } from "./crc.js";

const MOST_COLOURS = 256;
const MOST_CODES = 4096;

/** frames: RGBA bytes of pictures alike in size, as canvases have them, without transparency; delays: milliseconds for
 * which each is shown. It loops. Beyond 256 colours, near ones become one, in all frames alike. */
export function gif(frames, width, height, delays) {
  const { colours, indicesOf } = paletteOf(frames);
  const depth = Math.max(2, Math.ceil(Math.log2(colours.length / 3))); // bits of an index
  const table = new Uint8Array(3 << depth);
  table.set(colours);
  const size = [...uint16(width), ...uint16(height)];
  const shape = 0x80 | ((depth - 1) << 4) | (depth - 1); // one table of colours for all frames
  return joined([
    letters("GIF89a"), Uint8Array.of(...size, shape, 0, 0), table,
    Uint8Array.of(0x21, 0xff, 11), letters("NETSCAPE2.0"), Uint8Array.of(3, 1, 0, 0, 0), // for ever
    ...frames.flatMap((frame, i) => [
      Uint8Array.of(0x21, 0xf9, 4, 4, ...uint16(Math.round(delays[i] / 10)), 0, 0),
      Uint8Array.of(0x2c, 0, 0, 0, 0, ...size, 0, depth),
      ...blocks(compressed(indicesOf(frame), depth)),
    ]),
    Uint8Array.of(0x3b),
  ]);
}

const letters = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
const uint16 = (value) => [value & 255, value >>> 8];

/** The colours of all frames: exactly those, or the means of cells of so few bits a channel that 256 are left. */
function paletteOf(frames) {
  for (let bits = 8; ; bits--) {
    const found = cellsOf(frames, bits);
    if (found) return found;
  }
}

function cellsOf(frames, bits) {
  const cut = 8 - bits;
  const cell = (bytes, at) => ((bytes[at] >> cut) << (2 * bits)) | ((bytes[at + 1] >> cut) << bits) | (bytes[at + 2] >> cut);
  const numbers = new Int16Array(2 ** (3 * bits)).fill(-1);
  const sums = new Float64Array(3 * MOST_COLOURS);
  const members = new Float64Array(MOST_COLOURS);
  let count = 0;
  for (const bytes of frames) {
    for (let at = 0; at < bytes.length; at += 4) {
      const one = cell(bytes, at);
      if (numbers[one] < 0) {
        if (count === MOST_COLOURS) return null;
        numbers[one] = count++;
      }
      const number = numbers[one];
      members[number] += 1;
      for (let channel = 0; channel < 3; channel++) sums[3 * number + channel] += bytes[at + channel];
    }
  }
  return {
    colours: Uint8Array.from({ length: 3 * count }, (_, i) => Math.round(sums[i] / members[Math.floor(i / 3)])),
    indicesOf: (bytes) => Uint8Array.from({ length: bytes.length / 4 }, (_, i) => numbers[cell(bytes, 4 * i)]),
  };
}

/** LZW with codes that grow to 12 bits, as GIF has it. */
function compressed(indices, depth) {
  const [clear, end] = [1 << depth, (1 << depth) + 1];
  const codes = new Uint16Array(MOST_CODES << depth); // of a known string and the index that follows it; 0: none
  const bytes = [];
  let [buffer, held] = [0, 0];
  let [size, next] = [depth + 1, end + 1];
  const put = (code) => {
    buffer |= code << held;
    for (held += size; held >= 8; held -= 8, buffer >>>= 8) bytes.push(buffer & 255);
  };
  put(clear);
  let known = indices[0];
  for (let i = 1; i < indices.length; i++) {
    const longer = (known << depth) | indices[i];
    if (codes[longer]) {
      known = codes[longer];
      continue;
    }
    put(known);
    if (next === MOST_CODES) {
      put(clear);
      codes.fill(0);
      [size, next] = [depth + 1, end + 1];
    } else {
      if (next === 1 << size) size += 1;
      codes[longer] = next++;
    }
    known = indices[i];
  }
  put(known);
  put(end);
  if (held) bytes.push(buffer & 255);
  return Uint8Array.from(bytes);
}

/** In blocks of at most 255 bytes, each after its length; an empty one ends them. */
function blocks(bytes) {
  const parts = [];
  for (let at = 0; at < bytes.length; at += 255) {
    const part = bytes.subarray(at, at + 255);
    parts.push(Uint8Array.of(part.length), part);
  }
  return [...parts, Uint8Array.of(0)];
}
