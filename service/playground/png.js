// PNG's chunks: a picture that tells what made it.

import { crc32, joined } from "./crc.js";

const SIGNATURE = 8; // bytes
const HEADER = 25; // bytes of the first chunk, IHDR

/** A PNG's bytes, with {key: text} in its text chunks. */
export function withTexts(png, texts) {
  const chunks = Object.entries(texts).map(([key, text]) => chunk("iTXt", new TextEncoder().encode(`${key}\0\0\0\0\0${text}`)));
  const start = SIGNATURE + HEADER;
  return joined([png.subarray(0, start), ...chunks, png.subarray(start)]);
}

/** One chunk: its length, its type, its data, and a checksum of the last two. */
export function chunk(type, data) {
  const body = joined([new TextEncoder().encode(type), data]);
  return joined([uint32(data.length), body, uint32(crc32(body))]);
}

/** Big-endian. */
export function uint32(value) {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}
