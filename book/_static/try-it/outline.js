/* The outline of skull and hair, on rays from the middle of the head: the steps of studiolike/outline.py and
   studiolike/capture/outline.py, whose comments say why. `outward` is how far it lies beyond the base head's, cm, a number for each ray. */

import { COORDINATES, RAYS } from "./layout.js";

const CENTRE = [0, 4, -3], DEPTH = 0.6, WIDTH = 5 * Math.PI / 180, WIDEST = 125 * Math.PI / 180;
const TURNED = 25, FROM = 0.6, STEPS = 160, LEAST = -1, SMOOTH = [0.1, 0.2, 0.4, 0.2, 0.1];
export const MOST = 4; // cm
const ANGLES = Array.from({ length: RAYS }, (_, k) => WIDEST * (2 * k / (RAYS - 1) - 1)); // from straight up
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Distance of the farthest of points [x, y] about each ray. */
function farthest(points) {
  const far = ANGLES.map(() => 0);
  for (const [x, y] of points) {
    const angle = Math.atan2(x, y), distance = Math.hypot(x, y);
    ANGLES.forEach((ray, k) => { if (Math.abs(angle - ray) < WIDTH && distance > far[k]) far[k] = distance; });
  }
  return far;
}

/** The points of an outline, which follow those of the face in a shape. */
export const pointsOf = (outward, { outline }) => ANGLES.map((angle, k) => {
  const distance = outline[k] + outward[k];
  return [CENTRE[0] + Math.sin(angle) * distance, CENTRE[1] + Math.cos(angle) * distance, CENTRE[2]];
});

/** The shape that is nobody's. */
export const restShape = (geometry) => [...geometry.vertices, ...pointsOf(ANGLES.map(() => 0), geometry)];

/** The face of a shape, and `outward` or null. */
export function parted(shape, { vertices, outline }) {
  const points = shape.slice(vertices.length);
  const outward = points.map(([x, y], k) => Math.hypot(x - CENTRE[0], y - CENTRE[1]) - outline[k]);
  return [shape.slice(0, vertices.length), outward.length ? outward : null];
}

/** By how much the base head is moved, 3 · COORDINATES². */
export function movement(outward, { positions, outline, room }) {
  const count = COORDINATES ** 2, moved = new Float32Array(3 * count), mean = outward.reduce((a, b) => a + b, 0) / RAYS;
  for (let k = 0; k < count; k++) {
    if (!room[k]) continue;
    const place = CENTRE.map((value, c) => positions[c * count + k] - value), [x, y] = place;
    const step = (clamp(Math.atan2(x, y), -WIDEST, WIDEST) / WIDEST + 1) * (RAYS - 1) / 2, before = Math.min(Math.floor(step), RAYS - 2);
    const along = (values) => values[before] + (values[before + 1] - values[before]) * (step - before);
    const wanted = mean + (along(outward) - mean) * Math.min(Math.hypot(x, y) / along(outline), 1);
    const amount = room[k] * Math.tanh(wanted / room[k]);
    place.forEach((value, c) => { moved[c * count + k] = value / Math.hypot(...place) * (c === 2 ? DEPTH : 1) * amount; });
  }
  return moved;
}

/** `outward` in a picture; null where it does not tell. `surface` is the posed head, of COORDINATES². */
export function measureOutline(person, surface, pose, { width, height }) {
  if (Math.max(Math.abs(pose.yaw), Math.abs(pose.pitch)) > TURNED) return null;
  const [x0, y0] = pose.apply(CENTRE).map((value, c) => (c === 1 ? -value : value));
  const [right, up] = [0, 1].map((axis) => {
    const [x, y] = [pose.rotation[0][axis], -pose.rotation[1][axis]], length = Math.hypot(x, y);
    return [x / length, y / length];
  });
  const on = ([ax, ay], x, y) => ax * (x - x0) + ay * (y - y0);
  const base = farthest(Array.from(surface.x, (x, k) => [on(right, x, surface.y[k]), on(up, x, surface.y[k])]));
  const found = ANGLES.map((angle, k) => {
    const reach = 1 - FROM + 1.2 * MOST * pose.scale / base[k];
    for (let step = 0; step < STEPS; step++) {
      const way = (step / (STEPS - 1) * reach + FROM) * base[k], [u, v] = [Math.sin(angle) * way, Math.cos(angle) * way];
      const x = x0 + u * right[0] + v * up[0], y = y0 + u * right[1] + v * up[1];
      const within = x > 0 && x < width && y > 0 && y < height;
      if (!within || !(person(x, y) > 0.5)) return step && within ? clamp((way - base[k]) / pose.scale, LEAST, MOST) : null;
    }
    return null;
  });
  const told = found.flatMap((value, k) => (value === null ? [] : [k]));
  if (told.length / RAYS < 0.7) return null;
  const whole = found.map((value, k) => {
    const before = told.findLast((ray) => ray <= k) ?? told[0], after = told.find((ray) => ray >= k) ?? told.at(-1);
    return after > before ? found[before] + (found[after] - found[before]) * (k - before) / (after - before) : found[after];
  });
  return whole.map((_, k) => SMOOTH.reduce((sum, weight, j) => sum + weight * whole[clamp(k + j - 2, 0, RAYS - 1)], 0));
}
