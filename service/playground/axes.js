// Where points are on a canvas: the bounds of two dimensions, and round numbers between them.

const ROOM = 0.08; // beyond what is shown, on either side
const ALIKE = 3; // spans that differ by less get the same scale: a circle stays round
const STRIP = 0.6180339887; // golden ratio: where points of one dimension stand upright, so that they do not hide each other

/** Points [[…], …] → [x, y] of the i-th, by a pair of dimensions; of one dimension, spread over a strip. */
export function flat(points, [first, second]) {
  return second === null
    ? points.map((point, i) => [point[first], (i * STRIP) % 1])
    : points.map((point) => [point[first], point[second]]);
}

/** {x: [low, high], y: [low, high]} around points [[x, y], …], without the outermost `trim` of them. */
export function boundsOf(points, trim = 0) {
  const range = (axis) => {
    const values = points.map((point) => point[axis]).filter(Number.isFinite).sort((a, b) => a - b);
    if (!values.length) return [-1, 1];
    const skip = Math.floor(values.length * trim);
    const [low, high] = [values[skip], values[values.length - 1 - skip]];
    const room = Math.max((high - low) * ROOM, 1e-6 * Math.max(1, Math.abs(low), Math.abs(high)));
    return [low - room, high + room];
  };
  return { x: range(0), y: range(1) };
}

/** A function from data to canvas, of a canvas so wide and high. */
export function placing({ x, y }, width, height) {
  let [sx, sy] = [width / (x[1] - x[0]), height / (y[1] - y[0])];
  if (Math.max(sx, sy) < ALIKE * Math.min(sx, sy)) sx = sy = Math.min(sx, sy);
  const [cx, cy] = [(x[0] + x[1]) / 2, (y[0] + y[1]) / 2];
  return ([u, v]) => [width / 2 + (u - cx) * sx, height / 2 - (v - cy) * sy];
}

/** The largest square around the middle that such a canvas shows: [x from, x to, y from, y to]. */
export function squareOf({ x, y }, width, height) {
  const place = placing({ x, y }, width, height);
  const [cx, cy] = [(x[0] + x[1]) / 2, (y[0] + y[1]) / 2];
  const [[u, v], [u1, v1]] = [place([cx, cy]), place([cx + 1, cy + 1])];
  const half = Math.min(width, height) / 2;
  const [rx, ry] = [half / (u1 - u), half / (v - v1)];
  return [cx - rx, cx + rx, cy - ry, cy + ry];
}

/** About four round numbers between. */
export function ticks([low, high]) {
  const raw = (high - low) / 4;
  const magnitude = 10 ** Math.floor(Math.log10(raw));
  const pitch = magnitude * [1, 2, 5, 10].find((step) => step * magnitude >= raw);
  const found = [];
  for (let i = Math.ceil(low / pitch); i * pitch <= high; i++) found.push(Number((i * pitch).toPrecision(6)));
  return found;
}
