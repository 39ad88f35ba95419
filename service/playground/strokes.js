// Strokes of a drawing as text for a link: a byte for each coordinate, in base64 for addresses.

const TOLERANCE = 1; // pixels that a simplified stroke may be off by
const MOST_POINTS = 255; // of a stroke, because a byte counts them

/** strokes: [[[x, y], …], …] with coordinates 0 … 255 → text */
export function encodeStrokes(strokes) {
  const bytes = strokes.flatMap((stroke) => {
    const points = simplified(stroke.map((point) => point.map(Math.round))).slice(0, MOST_POINTS);
    return [points.length, ...points.flat()];
  });
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The other way; null of a text that is none of ours. */
export function decodeStrokes(text, side) {
  if (!/^[\w-]+$/.test(text)) return null;
  let bytes;
  try {
    bytes = Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  } catch {
    return null;
  }
  const strokes = [];
  for (let at = 0; at < bytes.length; ) {
    const numbers = bytes.slice(at + 1, at + 1 + 2 * bytes[at]);
    if (!bytes[at] || numbers.length < 2 * bytes[at] || numbers.some((number) => number > side)) return null;
    strokes.push(Array.from({ length: bytes[at] }, (_, i) => [numbers[2 * i], numbers[2 * i + 1]]));
    at += 1 + numbers.length;
  }
  return strokes;
}

/** Without the points that lie near the line between their neighbours (Douglas & Peucker 1973). */
function simplified(points) {
  if (points.length < 3) return points;
  const [first, last] = [points[0], points.at(-1)];
  const off = points.map((point) => distance(point, first, last));
  const farthest = off.indexOf(Math.max(...off));
  if (off[farthest] <= TOLERANCE) return [first, last];
  return [...simplified(points.slice(0, farthest + 1)).slice(0, -1), ...simplified(points.slice(farthest))];
}

/** Of a point to the segment between two others. */
function distance([x, y], [x0, y0], [x1, y1]) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const along = dx || dy ? Math.min(1, Math.max(0, ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy))) : 0;
  return Math.hypot(x - x0 - along * dx, y - y0 - along * dy);
}
