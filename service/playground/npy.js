// Arrays as numpy keeps them.

import { joined } from "./crc.js";

const TYPES = new Map([[Uint8Array, "|u1"], [Float32Array, "<f4"], [Float64Array, "<f8"]]);
const DIGITS = 9; // that tell any number of float32 from its neighbours
const BLOCK = 64; // bytes that the header is a multiple of
const MAGIC = Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0); // \x93NUMPY, version 1.0

/** A typed array, in C order, of that shape → a .npy file. */
export function npy(values, shape) {
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '${TYPES.get(values.constructor)}', 'fortran_order': False, 'shape': (${tuple}), }`;
  const length = Math.ceil((MAGIC.length + 2 + text.length + 1) / BLOCK) * BLOCK - MAGIC.length - 2;
  const header = new TextEncoder().encode(`${text.padEnd(length - 1)}\n`);
  return joined([MAGIC, Uint8Array.of(length & 0xff, length >> 8), header, new Uint8Array(values.buffer)]);
}

/** Numbers that a service wrote → an array of the type that it has them in: float32 where each is written as one of those. */
export const floats = (numbers) => (numbers.every(isSingle) ? Float32Array : Float64Array).from(numbers);

/** Is it the shortest way to write a number of float32? */
function isSingle(written) {
  const single = Math.fround(written);
  for (let digits = 1; digits <= DIGITS; digits++) {
    const shortest = Number(single.toPrecision(digits));
    if (Math.fround(shortest) === single) return shortest === written;
  }
  return false;
}
