/* The shape of the head in a photo, and the head that has it: the steps of studiolike/capture/shape.py, studiolike/avatar/shape.py
   and studiolike/avatar/mesh.py, whose comments say why. Points are [x, y, z] in head space, cm. */

import { COORDINATES, spread } from "./layout.js";
import { MOST, movement, parted, pointsOf } from "./outline.js";
import { fitPose } from "./surface.js";

const DEPTH = 0.05, PRIOR = 0.15, ODD = 0.5, DISTANCE = 77, ROUNDS = 3;
const CORNERS = [78, 308], MIDDLE = [13, 14]; // of the inner lips
const TOUCHING = 0.05, RELAXED = 0.7, WIDE = 1.05, OPEN = 0.5, CHEEK = 1.8;
const GRID = 128; // cells along a side, as in the page of the head

/** The 468 points behind the landmarks of one picture. */
function faceShape(seen, geometry) {
  const { vertices } = geometry, points = fromAfar(seen, geometry), { rotation, scale, offset } = fitPose(points, geometry);
  const across = PRIOR + 1, along = PRIOR + DEPTH, trust = [1 / across, 1 / across, DEPTH / along];
  const shape = points.map(([x, y, z], k) => {
    const told = [x, -y, -z].map((value, c) => (value - offset[c]) / scale); // in axes of the view, as what is compared with it
    const off = rotation.map((row, c) => trust[c] * (told[c] - row.reduce((sum, r, j) => sum + r * vertices[k][j], 0)));
    return vertices[k].map((value, c) => value + rotation.reduce((sum, row, j) => sum + row[c] * off[j], 0));
  });
  const mirrored = vertices.map(([x, y, z]) => {
    let best = 0, least = Infinity;
    vertices.forEach((v, k) => {
      const far = (v[0] + x) ** 2 + (v[1] - y) ** 2 + (v[2] - z) ** 2;
      if (far < least) [best, least] = [k, far];
    });
    return best;
  });
  return shape.map((point, k) => point.map((value, c) => {
    const other = shape[mirrored[k]][c] * (c ? 1 : -1);
    return (value + other) / 2 + ODD * (value - other) / 2;
  }));
}

/** Landmarks, image axes with y down, where a camera infinitely far away would have them. */
function fromAfar(points, geometry, rounds = ROUNDS) {
  if (!rounds) return points;
  const { rotation, scale, offset } = fitPose(fromAfar(points, geometry, rounds - 1), geometry);
  const face = geometry.vertices.map((v) => rotation.map((row, c) => scale * row.reduce((sum, r, j) => sum + r * v[j], 0) + offset[c]));
  const [x, y, z] = [0, 1, 2].map((c) => face.reduce((sum, place) => sum + place[c], 0) / face.length);
  return points.map((point, k) => shrunk(point, face[k][2], [x, -y, z], scale));
}

/** A point without perspective: what is nearer than the middle of the face was drawn larger. */
function shrunk([x, y, z], depth, middle, scale = 1) {
  const smaller = 1 - (depth - middle[2]) / (scale * DISTANCE);
  return [middle[0] + (x - middle[0]) * smaller, middle[1] + (y - middle[1]) * smaller, z];
}

/** These points, and those of the outline if it was seen. */
export function headShape(points, outward, geometry) {
  const face = faceShape(points, geometry);
  if (!outward) return face;
  const middle = [0, 1, 2].map((c) => geometry.vertices.reduce((sum, v) => sum + v[c], 0) / geometry.vertices.length);
  const around = pointsOf(outward, geometry).map((point) => shrunk(point, point[2], middle));
  const [, farther] = parted([...face, ...around], geometry);
  return [...face, ...pointsOf(farther.map((value) => Math.min(value, MOST)), geometry)];
}

/** The same shape with its lips together, and its corners nearer to each other, if it was open. */
function closeMouth(shape, geometry) {
  const { vertices } = geometry, points = lipsTogether(shape, geometry), [upper, lower] = MIDDLE;
  const distance = (a, b) => Math.hypot(...a.map((value, c) => value - b[c]));
  const opening = (of) => distance(of[upper], of[lower]), mean = (of) => of[upper].map((value, c) => (value + of[lower][c]) / 2);
  const share = RELAXED * Math.min(Math.max((opening(shape) - opening(vertices)) / OPEN, 0), 1);
  const rest = mean(vertices), here = mean(points);
  const moves = CORNERS.map((k) => here.map((value, c) => share * (value + WIDE * (vertices[k][c] - rest[c]) - points[k][c])));
  return points.map((point, k) => {
    if (k >= vertices.length) return point; // the outline stays
    const near = CORNERS.map((corner) => Math.exp(-((distance(vertices[k], vertices[corner]) / CHEEK) ** 2)));
    return point.map((value, c) => value + near[0] * moves[0][c] + near[1] * moves[1][c]);
  });
}

function lipsTogether(shape, { lips, closing }) {
  const gaps = lips.map(([upper, lower]) => {
    const gap = shape[upper].map((value, c) => value - shape[lower][c]), far = Math.max(Math.hypot(...gap), TOUCHING);
    return gap.map((value) => value * (1 - TOUCHING / far));
  });
  return shape.map((point, k) => point.map((value, c) => gaps.reduce((sum, gap, j) => sum + (closing[k]?.[j] ?? 0) * gap[c], value)));
}

/** An avatar's head with this shape: a position map as Float32Array of 3 · n². */
function positionMap(shape, geometry) {
  const [face, outward] = parted(shape, geometry), around = outward ? movement(outward, geometry) : [];
  const moved = face.map((point, k) => point.map((value, c) => value - geometry.vertices[k][c]));
  return spread(moved, geometry).map((value, k) => value + geometry.positions[k] + geometry.anatomy[k] + (around[k] ?? 0));
}

/** Places of the vertices of the page's head, for somebody of this shape: Float32Array, three numbers each. */
export function headVertices(shape, geometry) {
  const n = COORDINATES, map = positionMap(closeMouth(shape, geometry), geometry), nodes = [];
  for (let j = 0; j <= GRID; j++) for (let i = 0; i <= GRID; i++) {
    const x = (i % GRID) * n / GRID - 0.5, y = j * n / GRID - 0.5; // the first and the last column are one
    const left = Math.floor(x), row = Math.min(Math.max(Math.floor(y), 0), n - 2), across = x - left, down = y - row;
    nodes.push([0, 1, 2].map((c) => {
      const at = (line) => {
        const from = c * n * n + line * n;
        return map[from + (left + n) % n] * (1 - across) + map[from + (left + 1) % n] * across;
      };
      return at(row) * (1 - down) + at(row + 1) * down;
    }));
  }
  const crown = [0, 1, 2].map((c) => nodes.slice(0, GRID).reduce((sum, node) => sum + node[c], 0) / GRID);
  return Float32Array.from([...Array(GRID).fill(crown), ...nodes.slice(GRID + 1)].flat());
}
