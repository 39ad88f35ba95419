// A run as an animated PNG: any browser plays it, and its frames lose nothing.

import { joined } from "./crc.js";
import { chunk, uint32 } from "./png.js";

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const text = (bytes) => String.fromCharCode(...bytes);
const uint16 = (value) => Uint8Array.of(value >>> 8, value);

/** pngs: bytes of the frames, alike in size and kind; delays: milliseconds for which each is shown. It loops. */
export function animated(pngs, delays) {
  const frames = pngs.map(chunksOf);
  const header = frames[0].find(({ type }) => type === "IHDR").data;
  const size = header.subarray(0, 8);
  let number = 0;
  const parts = frames.flatMap((chunks, i) => {
    const control = joined([uint32(number++), size, uint32(0), uint32(0), uint16(delays[i]), uint16(1000), Uint8Array.of(0, 0)]);
    const pixels = chunks.filter(({ type }) => type === "IDAT").map(({ data }) =>
      (i === 0 ? chunk("IDAT", data) : chunk("fdAT", joined([uint32(number++), data]))));
    return [chunk("fcTL", control), ...pixels];
  });
  const count = joined([uint32(frames.length), uint32(0)]); // zero times: for ever
  return joined([SIGNATURE, chunk("IHDR", header), chunk("acTL", count), ...parts, chunk("IEND", new Uint8Array(0))]);
}

function chunksOf(png) {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  const chunks = [];
  for (let at = SIGNATURE.length; at < png.length; ) {
    const length = view.getUint32(at);
    chunks.push({ type: text(png.subarray(at + 4, at + 8)), data: png.subarray(at + 8, at + 8 + length) });
    at += 12 + length;
  }
  return chunks;
}
