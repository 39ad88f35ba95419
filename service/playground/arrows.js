// Arrows over a cloud: a field of vectors.

const REACH = 1.4; // of the distance between two arrows, for the longest

/** points, field: [[x, y], …] in the data's units; place: data → canvas. Lengths are square roots, because scores near
 * the data are orders of magnitude longer than elsewhere. `longest`: the length that the longest arrow stands for. */
export function arrows(context, points, field, place, longest) {
  const side = Math.round(Math.sqrt(points.length));
  const [[u0], [u1]] = [place(points[0]), place(points[side])];
  const unit = (REACH * Math.abs(u1 - u0)) / Math.sqrt(longest || 1);
  context.beginPath();
  points.forEach((point, i) => {
    const [dx, dy] = field[i];
    const length = Math.hypot(dx, dy);
    if (!length) return;
    const [u, v] = place(point);
    const stretch = (unit * Math.sqrt(length)) / length;
    const [a, b] = [u + dx * stretch, v - dy * stretch];
    const head = Math.min(4, unit * Math.sqrt(length) * 0.4);
    const angle = Math.atan2(b - v, a - u);
    context.moveTo(u, v);
    context.lineTo(a, b);
    context.moveTo(a - head * Math.cos(angle - 0.5), b - head * Math.sin(angle - 0.5));
    context.lineTo(a, b);
    context.lineTo(a - head * Math.cos(angle + 0.5), b - head * Math.sin(angle + 0.5));
  });
  context.stroke();
}

/** The length of the longest vector. */
export const longestOf = (field) => Math.max(...field.map(([dx, dy]) => Math.hypot(dx, dy)));
