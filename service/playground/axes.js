// Where points are on a canvas: the bounds of two dimensions, and round numbers between them.

const ROOM = 0.08; // beyond what is shown, on either side
const ALIKE = 3; // spans that differ by less get the same scale: a circle stays round
const DAY = 86_400_000; // milliseconds
const STRIP = 0.6180339887; // golden ratio: where points of one dimension stand upright, so that they do not hide each other

/** Two different dimensions by name or number, as GET /sample takes them; null of anything else. */
export function axesIn(wanted, columns) {
  const found = (wanted ?? []).map((one) => {
    const named = columns.indexOf(one);
    return named < 0 && one !== "" ? Number(one) : named;
  });
  return found.length === 2 && found[0] !== found[1] && found.every((axis) => axis in columns) ? found : null;
}

/** The same in a query: by name, where commas and spaces leave it whole. */
export const axesAsText = (axes, columns) =>
  axes.map((axis) => (/,|^\s|\s$|^$/.test(columns[axis]) ? axis : columns[axis])).join(",");

/** The date that each dimension counts days from; undefined of what is no date. */
export function originsOf({ columns, table }) {
  const dates = table.filter(({ kind }) => kind === "date");
  return columns.map((name) => dates.find((column) => column.name === name)?.origin);
}

/** Days since then, as a language writes the date. time: they may be parts of days. */
export function dateAt(origin, days, language, { time }) {
  const style = { timeZone: "UTC", dateStyle: "medium", ...(time && { timeStyle: "short" }) };
  return new Date(Date.parse(`${origin}Z`) + DAY * days).toLocaleString(language, style);
}

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

/** Pixels of a unit of each axis. */
function scalesOf({ x, y }, width, height) {
  const [sx, sy] = [width / (x[1] - x[0]), height / (y[1] - y[0])];
  const least = Math.min(sx, sy);
  return Math.max(sx, sy) < ALIKE * least ? [least, least] : [sx, sy];
}

const middleOf = ([low, high]) => (low + high) / 2;

/** A function from data to canvas, of a canvas so wide and high. */
export function placing(bounds, width, height) {
  const [sx, sy] = scalesOf(bounds, width, height);
  const [cx, cy] = [middleOf(bounds.x), middleOf(bounds.y)];
  return ([u, v]) => [width / 2 + (u - cx) * sx, height / 2 - (v - cy) * sy];
}

/** The largest square around the middle that such a canvas shows: [x from, x to, y from, y to]. */
export function squareOf({ x, y }, width, height) {
  const place = placing({ x, y }, width, height);
  const [cx, cy] = [middleOf(x), middleOf(y)];
  const [[u, v], [u1, v1]] = [place([cx, cy]), place([cx + 1, cy + 1])];
  const half = Math.min(width, height) / 2;
  const [rx, ry] = [half / (u1 - u), half / (v - v1)];
  return [cx - rx, cx + rx, cy - ry, cy + ry];
}

/** The round numbers that such a canvas shows, {x: [...], y: [...]}: about four of the shorter side. Where both axes have
 * one scale, they have one pitch. */
export function ticksOf(bounds, width, height) {
  const [sx, sy] = scalesOf(bounds, width, height);
  const shorter = Math.min(width, height);
  const ticks = (middle, length, scale) => {
    const pitch = roundUp((sx === sy ? shorter : length) / scale / 4);
    const half = length / scale / 2;
    const digits = Math.max(0, -Math.floor(Math.log10(pitch))); // after the point: 3 · 0.1 is 0.30000000000000004
    const found = [];
    for (let i = Math.ceil((middle - half) / pitch); i * pitch <= middle + half; i++) found.push(Number((i * pitch).toFixed(digits)));
    return found;
  };
  return { x: ticks(middleOf(bounds.x), width, sx), y: ticks(middleOf(bounds.y), height, sy) };
}

/** The next of …, 1, 2, 5, 10, 20, … */
function roundUp(value) {
  const magnitude = 10 ** Math.floor(Math.log10(value));
  return magnitude * [1, 2, 5, 10].find((step) => step * magnitude >= value);
}
