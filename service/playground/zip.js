// A zip archive, its files stored as they are: PNGs are small already.

import { crc32, joined } from "./crc.js";

const DAY = 0x21; // 1980-01-01: the same files give the same bytes
const UTF8 = 0x800;

/** files: [[name, Uint8Array], …] → Uint8Array */
export function zip(files) {
  const [locals, entries] = [[], []];
  let at = 0;
  for (const [name, bytes] of files) {
    const text = new TextEncoder().encode(name);
    const shared = [[2, 20], [2, UTF8], [2, 0], [2, 0], [2, DAY], [4, crc32(bytes)], [4, bytes.length], [4, bytes.length],
      [2, text.length], [2, 0]];
    const local = joined([fields([[4, 0x04034b50], ...shared]), text, bytes]);
    entries.push(joined([fields([[4, 0x02014b50], [2, 20], ...shared, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]]), text]));
    locals.push(local);
    at += local.length;
  }
  const directory = joined(entries);
  const end = fields([[4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, directory.length],
    [4, at], [2, 0]]);
  return joined([...locals, directory, end]);
}

/** [[bytes, value], …] → little-endian */
function fields(values) {
  const view = new DataView(new ArrayBuffer(values.reduce((length, [size]) => length + size, 0)));
  let at = 0;
  for (const [size, value] of values) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return new Uint8Array(view.buffer);
}
