/* Where every texel of the layout lies before the camera, and what hides what: the steps of studiolike/capture/pose.py, surface.py
   and occlusion.py, whose comments say why. View axes: x right, y up, z to the camera, pixels. */

import { COORDINATES, between, coverage, spread } from "./layout.js";
import { movement } from "./outline.js";

const CELLS = 192, BORDER = 4, NODES = 128;
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

/** Similarity of the canonical mesh to landmarks, in view axes (y up, z to the camera): Horn, JOSA 1987. */
export function fitPose(points, { vertices }) {
  const target = points.map(([x, y, z]) => [x, -y, -z]), mean = (rows) => [0, 1, 2].map((c) => rows.reduce((s, r) => s + r[c], 0) / rows.length);
  const from = mean(vertices), to = mean(target), m = [0, 1, 2].map(() => [0, 0, 0]);
  vertices.forEach((v, k) => { for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) m[i][j] += (v[i] - from[i]) * (target[k][j] - to[j]); });
  const [[xx, xy, xz], [yx, yy, yz], [zx, zy, zz]] = m;
  const [w, x, y, z] = largestEigenvector([
    [xx + yy + zz, yz - zy, zx - xz, xy - yx],
    [yz - zy, xx - yy - zz, xy + yx, zx + xz],
    [zx - xz, xy + yx, yy - xx - zz, yz + zy],
    [xy - yx, zx + xz, yz + zy, zz - xx - yy],
  ]);
  const rotation = [
    [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
    [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
    [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
  ];
  const turned = (v) => rotation.map((row) => dot(row, v));
  let along = 0, length = 0;
  vertices.forEach((v, k) => {
    const centred = v.map((value, c) => value - from[c]);
    along += dot(turned(centred), target[k].map((value, c) => value - to[c]));
    length += dot(centred, centred);
  });
  const scale = along / length, start = turned(from), offset = to.map((value, c) => value - scale * start[c]);
  const xs = vertices.map((v) => v[0]);
  return {
    rotation, scale, offset,
    apply: (v) => turned(v).map((value, c) => scale * value + offset[c]),
    yaw: Math.asin(Math.min(Math.max(-rotation[2][0], -1), 1)) * 180 / Math.PI,
    pitch: Math.atan2(-rotation[2][1], rotation[2][2]) * 180 / Math.PI,
    facePixels: scale * (Math.max(...xs) - Math.min(...xs)),
  };
}

/** Of a symmetric 4 × 4 matrix, by Jacobi rotations. */
function largestEigenvector(a) {
  const v = [0, 1, 2, 3].map((i) => [0, 1, 2, 3].map((j) => Number(i === j)));
  for (let sweep = 0; sweep < 30; sweep++) for (let p = 0; p < 3; p++) for (let q = p + 1; q < 4; q++) {
    if (Math.abs(a[p][q]) < 1e-14 * (Math.abs(a[p][p]) + Math.abs(a[q][q]))) continue;
    const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]), t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
    const c = 1 / Math.hypot(t, 1), s = t * c;
    for (let k = 0; k < 4; k++) [a[k][p], a[k][q]] = [c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]];
    for (let k = 0; k < 4; k++) [a[p][k], a[q][k]] = [c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]];
    for (let k = 0; k < 4; k++) [v[k][p], v[k][q]] = [c * v[k][p] - s * v[k][q], s * v[k][p] + c * v[k][q]];
  }
  const best = [0, 1, 2, 3].reduce((b, k) => (a[k][k] > a[b][b] ? k : b), 0);
  return v.map((row) => row[best]);
}

// ------------------------------------------------------------------------------------------------ the surface

/** Where each texel lies in the picture (y down), how near, and how squarely it faces the camera; `triangle` is −1 beyond the face. */
export function headSurface(points, pose, size, shape, outward) {
  const { vertices, triangles, positions } = shape, { triangle, weights } = coverage(size, shape);
  const view = points.map(([x, y, z]) => [x, -y, -z]);
  const rest = vertices.map((v, k) => pose.apply(v).map((value, c) => view[k][c] - value));
  const normals = view.map(() => [0, 0, 0]);
  for (const [a, b, c] of triangles) {
    const [u, w] = [b, c].map((corner) => view[corner].map((value, k) => value - view[a][k])), normal = cross(u, w);
    for (const corner of [a, b, c]) normal.forEach((value, k) => { normals[corner][k] += value; });
  }
  const unit = normals.map((v) => { const length = Math.hypot(...v) || 1; return v.map((value) => value / length); });
  const [x, y, depth, facing] = [0, 1, 2, 3].map(() => new Float32Array(size * size)), around = aroundFace(rest, pose, shape, outward);
  triangle.forEach((number, k) => {
    if (number < 0) {
      [x[k], y[k], depth[k], facing[k]] = [between(around, 0, k, size), -between(around, 1, k, size), between(around, 2, k, size), between(around, 3, k, size)];
      return;
    }
    const place = pose.apply([0, 1, 2].map((c) => between(positions, c, k, size))), normal = [0, 0, 0];
    triangles[number].forEach((corner, j) => {
      for (let c = 0; c < 3; c++) {
        place[c] += rest[corner][c] * weights[3 * k + j];
        normal[c] += unit[corner][c] * weights[3 * k + j];
      }
    });
    [x[k], y[k], depth[k], facing[k]] = [place[0], -place[1], place[2], normal[2] / (Math.hypot(...normal) || 1)];
  });
  return { size, triangle, x, y, depth, facing };
}

/** The base head, moved as the landmarks of the face and the outline are: places in view axes and the cosine to the camera, 4 · COORDINATES². */
function aroundFace(rest, pose, shape, outward) {
  const n = COORDINATES, count = n * n, moved = spread(rest, shape), map = new Float32Array(4 * count);
  const own = outward ? movement(outward, shape) : new Float32Array(3 * count);
  for (let k = 0; k < count; k++) {
    pose.apply([0, 1, 2].map((c) => shape.positions[c * count + k] + own[c * count + k])).forEach((value, c) => { map[c * count + k] = value + moved[c * count + k]; });
  }
  for (let j = 0; j < n; j++) for (let i = 0; i < n; i++) {
    const step = (to, from) => [0, 1, 2].map((c) => map[c * count + to] - map[c * count + from]);
    const along = step(j * n + (i + 1) % n, j * n + (i + n - 1) % n), down = step(Math.min(j + 1, n - 1) * n + i, Math.max(j - 1, 0) * n + i);
    const normal = cross(down, along);
    map[3 * count + j * n + i] = normal[2] / (Math.hypot(...normal) || 1);
  }
  return map;
}

// ------------------------------------------------------------------------------------------------ what hides what

/** Depth of the frontmost surface and distance to the outline, in cells over the picture. */
export function depthBuffer(points, triangles) {
  const xs = points.map((p) => p[0]), ys = points.map((p) => p[1]), low = [Math.min(...xs), Math.min(...ys)];
  const scale = (CELLS - 1 - 2 * BORDER) / Math.max(Math.max(...xs) - low[0], Math.max(...ys) - low[1], 1e-6);
  const placed = points.map(([x, y, z]) => [(x - low[0]) * scale + BORDER, (y - low[1]) * scale + BORDER, -z]);
  const depth = new Float64Array(CELLS * CELLS).fill(-Infinity);
  for (const corners of triangles) {
    const [[ax, ay, az], [bx, by, bz], [cx, cy, cz]] = corners.map((k) => placed[k]);
    const area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy);
    if (Math.abs(area) < 1e-9) continue;
    for (let y = Math.ceil(Math.min(ay, by, cy)); y <= Math.max(ay, by, cy); y++) for (let x = Math.ceil(Math.min(ax, bx, cx)); x <= Math.max(ax, bx, cx); x++) {
      const wa = ((by - cy) * (x - cx) + (cx - bx) * (y - cy)) / area, wb = ((cy - ay) * (x - cx) + (ax - cx) * (y - cy)) / area, wc = 1 - wa - wb;
      if (wa >= 0 && wb >= 0 && wc >= 0) depth[y * CELLS + x] = Math.max(depth[y * CELLS + x], wa * az + wb * bz + wc * cz);
    }
  }
  const outline = distances(depth);
  const cell = (x, y) => [x - low[0], y - low[1]].map((v) => Math.min(Math.max(Math.round(v * scale + BORDER), 0), CELLS - 1));
  return {
    depthAt: (x, y) => { const [i, j] = cell(x, y); return depth[j * CELLS + i]; },
    outlineAt: (x, y) => { const [i, j] = cell(x, y); return outline[j * CELLS + i] / scale; },
  };
}

/** The same for the whole head, drawn coarsely. */
export function headBuffer({ size, x, y, depth }) {
  const step = Math.max(1, Math.floor(size / NODES)), across = size / step, points = [], triangles = [];
  for (let j = 0; j < across; j++) for (let i = 0; i < across; i++) {
    const k = (j * size + i) * step, d = points.length, [a, b, c] = [d - across - 1, d - across, d - 1];
    points.push([x[k], y[k], -depth[k]]);
    if (i && j) triangles.push([a, c, b], [b, c, d]);
  }
  return depthBuffer(points, triangles);
}

/** Euclidean distance of each covered cell to the next one that is not: along columns, then over each row. */
function distances(depth) {
  const down = new Float64Array(CELLS * CELLS), out = new Float64Array(CELLS * CELLS);
  for (let x = 0; x < CELLS; x++) {
    for (const [from, step] of [[0, 1], [CELLS - 1, -1]]) {
      let far = Infinity;
      for (let k = 0, y = from; k < CELLS; k++, y += step) {
        far = depth[y * CELLS + x] > -Infinity ? far + 1 : 0;
        down[y * CELLS + x] = step > 0 ? far : Math.min(down[y * CELLS + x], far);
      }
    }
  }
  for (let y = 0; y < CELLS; y++) for (let x = 0; x < CELLS; x++) {
    let best = down[y * CELLS + x] ** 2;
    for (let reach = 1; reach * reach < best; reach++) {
      for (const other of [x - reach, x + reach]) {
        if (other >= 0 && other < CELLS) best = Math.min(best, reach * reach + down[y * CELLS + other] ** 2);
      }
    }
    out[y * CELLS + x] = Math.sqrt(best);
  }
  return out;
}
