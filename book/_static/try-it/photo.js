/* One photo → a phone texture in the `head` layout and its visibility: the steps of studiolike/capture/unwrap.py, whose
   comments say why. Maps are Float32Array of n² numbers, row after row. */

import { at } from "./model.js";
import { findLandmarks, PhotoError, Picture } from "./landmarks.js";

export { PhotoError };

const GRAZING = 0.15, SQUARE = 0.6, DEPTH_SLACK = 0.025, RIM = [0.008, 0.03], OPAQUE = 4, OPEN_MOUTH = 0.15;
const MAX_YAW = 60, MAX_PITCH = 50, MIN_FACE_PIXELS = 48, MIN_CHEEK = 0.15, CELLS = 192, BORDER = 4;
export const COORDINATES = 256; // texels of the position map along a side
const LIPS = 9; // pairs of points that meet
const LARGEST_PHOTO = 3072; // pixels of the longer side; more is not in a texture of 512
const INNER_LIPS = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191];

const clamp = (x) => Math.min(Math.max(x, 0), 1);
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
let geometry;

/** Mesh, places in the layout, position map and how lips close, see write_geometry in book/tools/page_model.py. */
export function readGeometry(buffer) {
  const numbers = new Float32Array(buffer, 0, 468 * (3 + 2 + LIPS) + 3 * COORDINATES ** 2);
  const rows = (values, width) => Array.from({ length: values.length / width }, (_, k) => [...values.subarray(k * width, (k + 1) * width)]);
  const whole = new Uint16Array(buffer, numbers.byteLength);
  return {
    vertices: rows(numbers.subarray(0, 468 * 3), 3),
    places: rows(numbers.subarray(468 * 3, 468 * 5), 2),
    closing: rows(numbers.subarray(468 * 5, 468 * (5 + LIPS)), LIPS),
    positions: numbers.subarray(468 * (5 + LIPS)),
    lips: rows(whole.subarray(0, 2 * LIPS), 2),
    triangles: rows(whole.subarray(2 * LIPS), 3),
  };
}

export async function loadGeometry() {
  geometry ??= readGeometry(await (await fetch(at("geometry.bin"))).arrayBuffer());
  return geometry;
}

export async function unwrapPhoto(model, image, size) {
  const scale = Math.min(1, LARGEST_PHOTO / Math.max(image.width, image.height));
  const picture = Picture.from({ width: Math.round(image.width * scale), height: Math.round(image.height * scale) }, image);
  return unwrap(picture, await findLandmarks(model, picture), size, await loadGeometry());
}

/** The texture of a `Picture` with known landmarks. */
export function unwrap(picture, points, size, shape) {
  const pose = fitPose(points, shape);
  refusePose(pose, points, picture);
  const surface = faceSurface(points, pose, size, shape);
  const visibility = visibilityMap(surface, points, pose, picture, shape);
  refuseHidden(visibility, surface);
  const texture = fillUnobserved(sample(picture, points, pose, surface, visibility, shape), visibility.map((v) => Math.min(OPAQUE * v, 1)), size).map(clamp);
  const warnings = Math.abs(pose.yaw) > 35 ? ["The head is turned, so the far cheek is only partly seen."] : [];
  return { name: "Your photo", texture, visibility, size, points, warnings };
}

// ------------------------------------------------------------------------------------------------ pose

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

function refusePose(pose, points, { width, height }) {
  const inside = points.filter(([x, y]) => x >= 0 && x <= width && y >= 0 && y <= height).length / points.length;
  if (inside < 0.7) throw new PhotoError(`Only ${Math.round(100 * inside)} % of the face lie inside the picture: use a photo that shows all of it.`);
  if (Math.abs(pose.yaw) > MAX_YAW) throw new PhotoError(`The head is turned by ${Math.round(Math.abs(pose.yaw))}°, at most ${MAX_YAW}° work: use a photo from the front.`);
  if (Math.abs(pose.pitch) > MAX_PITCH) throw new PhotoError(`The head is tilted by ${Math.round(Math.abs(pose.pitch))}°, at most ${MAX_PITCH}° work: hold the camera at eye level.`);
  if (pose.facePixels < MIN_FACE_PIXELS) throw new PhotoError(`The face is ${Math.round(pose.facePixels)} pixels wide, at least ${MIN_FACE_PIXELS} are needed: come closer.`);
}

function refuseHidden(visibility, { size, triangle }) {
  const seen = [0, 0], all = [0, 0];
  triangle.forEach((number, k) => {
    if (number < 0) return;
    const half = Number(k % size >= size / 2);
    all[half] += 1;
    seen[half] += visibility[k] > 0.3 ? 1 : 0;
  });
  if (Math.min(seen[0] / all[0], seen[1] / all[1]) < MIN_CHEEK) throw new PhotoError("One half of the face is hardly seen: use a photo from the front or a three-quarter view.");
}

// ------------------------------------------------------------------------------------------------ the surface

/** Which triangle covers each texel (−1: none) and its weights, as layout._coverage. */
export function coverage(size, { places, triangles }) {
  const triangle = new Int16Array(size * size).fill(-1), weights = new Float32Array(3 * size * size);
  triangles.forEach((corners, number) => {
    const [[ax, ay], [bx, by], [cx, cy]] = corners.map((k) => places[k].map((v) => v * size - 0.5));
    const area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy);
    if (Math.abs(area) < 1e-12) return;
    for (let y = Math.max(0, Math.ceil(Math.min(ay, by, cy) - 1e-6)); y <= Math.min(size - 1, Math.max(ay, by, cy) + 1e-6); y++) {
      for (let x = Math.max(0, Math.ceil(Math.min(ax, bx, cx) - 1e-6)); x <= Math.min(size - 1, Math.max(ax, bx, cx) + 1e-6); x++) {
        const wa = ((by - cy) * (x - cx) + (cx - bx) * (y - cy)) / area, wb = ((cy - ay) * (x - cx) + (ax - cx) * (y - cy)) / area;
        if (Math.min(wa, wb, 1 - wa - wb) < -1e-6) continue;
        triangle[y * size + x] = number;
        weights.set([wa, wb, 1 - wa - wb], 3 * (y * size + x));
      }
    }
  });
  return { triangle, weights };
}

/** Where each texel of the face lies in the picture, how near, and how squarely it faces the camera. */
function faceSurface(points, pose, size, shape) {
  const { vertices, triangles, positions } = shape, { triangle, weights } = coverage(size, shape), n = COORDINATES;
  const view = points.map(([x, y, z]) => [x, -y, -z]);
  const rest = vertices.map((v, k) => pose.apply(v).map((value, c) => view[k][c] - value));
  const normals = view.map(() => [0, 0, 0]);
  for (const [a, b, c] of triangles) {
    const u = view[b].map((value, k) => value - view[a][k]), w = view[c].map((value, k) => value - view[a][k]);
    const cross = [u[1] * w[2] - u[2] * w[1], u[2] * w[0] - u[0] * w[2], u[0] * w[1] - u[1] * w[0]];
    for (const corner of [a, b, c]) cross.forEach((value, k) => { normals[corner][k] += value; });
  }
  const unit = normals.map((v) => { const length = Math.hypot(...v) || 1; return v.map((value) => value / length); });
  const [x, y, depth, facing] = [0, 1, 2, 3].map(() => new Float32Array(size * size));
  const smooth = (channel, u, v) => {
    const px = Math.min(Math.max(u * n - 0.5, 0), n - 1.001), py = Math.min(Math.max(v * n - 0.5, 0), n - 1.001);
    const x0 = Math.floor(px), y0 = Math.floor(py), fx = px - x0, fy = py - y0, k = channel * n * n + y0 * n + x0;
    return (positions[k] * (1 - fx) + positions[k + 1] * fx) * (1 - fy) + (positions[k + n] * (1 - fx) + positions[k + n + 1] * fx) * fy;
  };
  triangle.forEach((number, k) => {
    if (number < 0) return;
    const u = (k % size + 0.5) / size, v = (Math.floor(k / size) + 0.5) / size;
    const place = pose.apply([0, 1, 2].map((c) => smooth(c, u, v))), normal = [0, 0, 0];
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

/** Depth of the frontmost surface and distance to the outline, in cells over the picture. */
function depthBuffer(points, triangles) {
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

function visibilityMap({ size, triangle, x, y, depth, facing }, points, pose, { width, height }, shape) {
  const buffer = depthBuffer(points, shape.triangles), slack = DEPTH_SLACK * pose.facePixels, seen = new Float32Array(size * size);
  const gap = (a, b) => Math.hypot(...points[a].map((v, c) => v - points[b][c]));
  const mouth = gap(13, 14) / Math.max(gap(78, 308), 1e-6) > OPEN_MOUTH ? INNER_LIPS.map((k) => shape.places[k]) : null;
  triangle.forEach((number, k) => {
    if (number < 0) return;
    if (mouth && within(mouth, (k % size + 0.5) / size, (Math.floor(k / size) + 0.5) / size)) return;
    const squarely = clamp((facing[k] - GRAZING) / (SQUARE - GRAZING));
    const open = 1 - clamp((buffer.depthAt(x[k], y[k]) - depth[k] - slack) / slack);
    const rim = clamp((buffer.outlineAt(x[k], y[k]) / pose.facePixels - RIM[0]) / (RIM[1] - RIM[0]));
    const margin = Math.min(x[k], width - x[k], y[k], height - y[k]) / (0.02 * pose.facePixels);
    seen[k] = squarely * open * (1 - clamp((0.6 - facing[k]) / 0.2) * (1 - rim)) * clamp(margin);
  });
  const reach = Math.max(1, Math.round(size / 96)), sigma = size / 160, radius = Math.ceil(3 * sigma);
  const taps = Float64Array.from({ length: 2 * radius + 1 }, (_, k) => Math.exp(-0.5 * ((k - radius) / sigma) ** 2));
  const sum = taps.reduce((a, b) => a + b, 0);
  const least = (values) => Math.min(...values), mean = (values) => values.reduce((s, v, k) => s + v * taps[k], 0) / sum;
  const worn = alongBoth(alongBoth(seen, size, reach, least, 0), size, radius, mean, null);
  return worn.map((value, k) => (triangle[k] < 0 || !(seen[k] > 0) ? 0 : clamp(value)));
}

/** A filter of neighbours along rows, then along columns; outside lies `beyond`, or the border's value for null. */
function alongBoth(map, size, reach, filter, beyond) {
  const window = new Float64Array(2 * reach + 1);
  for (const [step, across] of [[1, size], [size, 1]]) {
    const out = new Float32Array(size * size);
    for (let line = 0; line < size; line++) for (let k = 0; k < size; k++) {
      for (let d = -reach; d <= reach; d++) {
        const place = k + d, inside = place >= 0 && place < size;
        window[d + reach] = inside || beyond === null ? map[line * across + Math.min(Math.max(place, 0), size - 1) * step] : beyond;
      }
      out[line * across + k * step] = filter(window);
    }
    map = out;
  }
  return map;
}

function within(polygon, u, v) {
  let inside = false;
  polygon.forEach(([x, y], k) => {
    const [px, py] = polygon[(k + polygon.length - 1) % polygon.length];
    if (y > v !== py > v && u < (px - x) * (v - y) / (py - y) + x) inside = !inside;
  });
  return inside;
}

// ------------------------------------------------------------------------------------------------ colours

/** The photo's colour at every texel: area means first, then bicubic, 2 × 2 samples a texel where pixels are finer. */
function sample(picture, points, pose, surface, visibility, shape) {
  const { size, x, y } = surface, steps = [];
  for (let k = 0; k < size * size - size - 1; k++) {
    if (visibility[k] > 0.1) steps.push(Math.sqrt(Math.abs((x[k + 1] - x[k]) * (y[k + size] - y[k]) - (y[k + 1] - y[k]) * (x[k + size] - x[k]))));
  }
  const density = steps.sort((a, b) => a - b)[Math.floor(0.9 * (steps.length - 1))] || 1;
  const shrink = Math.max(1, Math.floor(density / 1.5)), over = density / shrink > 1.2 ? 2 : 1;
  const level = picture.reduced(shrink), fine = over === 1 ? surface : faceSurface(points, pose, size * over, shape);
  const texture = new Float32Array(3 * size * size), counts = new Float32Array(size * size), colour = [0, 0, 0];
  fine.triangle.forEach((number, k) => {
    if (number < 0) return;
    const to = Math.floor(Math.floor(k / fine.size) / over) * size + Math.floor(k % fine.size / over);
    bicubic(level, fine.x[k] / shrink - 0.5, fine.y[k] / shrink - 0.5, colour);
    for (let c = 0; c < 3; c++) texture[c * size * size + to] += clamp(colour[c] / 255);
    counts[to] += 1;
  });
  return texture.map((value, k) => value / Math.max(counts[k % (size * size)], 1));
}

function bicubic({ width, height, data }, x, y, out) {
  const x0 = Math.floor(x), y0 = Math.floor(y), wx = cubic(x - x0), wy = cubic(y - y0);
  out.fill(0);
  for (let j = 0; j < 4; j++) for (let i = 0; i < 4; i++) {
    const k = 4 * (Math.min(Math.max(y0 + j - 1, 0), height - 1) * width + Math.min(Math.max(x0 + i - 1, 0), width - 1));
    for (let c = 0; c < 3; c++) out[c] += wx[i] * wy[j] * data[k + c];
  }
}

/** Weights of four neighbours at a fraction t: Keys, IEEE TASSP 1981, with a = −0.75 as in PyTorch. */
function cubic(t) {
  const a = -0.75, near = (s) => ((a + 2) * s - (a + 3)) * s * s + 1, far = (s) => ((a * s - 5 * a) * s + 8 * a) * s - 4 * a;
  return [far(t + 1), near(t), near(1 - t), far(2 - t)];
}

/** A smooth continuation into what was not seen, as image.fill_unobserved (push and pull). */
export function fillUnobserved(texture, weight, size) {
  const levels = [{ size, weight, colour: texture.map((value, k) => value * weight[k % (size * size)]) }];
  while (levels.at(-1).size > 1) {
    const { size: n, weight: w, colour } = levels.at(-1);
    levels.push({ size: n / 2, weight: halved(w, n, 1), colour: halved(colour, n, 3) });
  }
  const top = levels.pop();
  let filled = top.colour.map((value) => value / Math.max(top.weight[0], 1e-8));
  for (const [depth, { size: n, weight: w, colour }] of [...levels.entries()].reverse()) {
    const coarse = filled, half = n / 2;
    filled = new Float32Array(3 * n * n);
    for (let y = 0; y < n; y++) for (let x = 0; x < n; x++) {
      const fx = (x + 0.5) / 2 - 0.5, fy = Math.min(Math.max((y + 0.5) / 2 - 0.5, 0), half - 1), k = y * n + x;
      const x0 = Math.floor(fx), y0 = Math.floor(fy), y1 = Math.min(y0 + 1, half - 1), tx = fx - x0, ty = fy - y0;
      const left = (x0 + half) % half, right = (x0 + 1) % half, trust = depth ? Math.min(4 * w[k], 1) : w[k];
      for (let c = 0; c < 3; c++) {
        const from = (i, j) => coarse[c * half * half + j * half + i];
        const around = (from(left, y0) * (1 - tx) + from(right, y0) * tx) * (1 - ty) + (from(left, y1) * (1 - tx) + from(right, y1) * tx) * ty;
        filled[c * n * n + k] = around + trust * (colour[c * n * n + k] / Math.max(w[k], 1e-8) - around);
      }
    }
  }
  return filled;
}

function halved(map, n, channels) {
  const half = n / 2, out = new Float32Array(channels * half * half);
  for (let c = 0; c < channels; c++) for (let y = 0; y < half; y++) for (let x = 0; x < half; x++) {
    const k = c * n * n + 2 * y * n + 2 * x;
    out[c * half * half + y * half + x] = (map[k] + map[k + 1] + map[k + n] + map[k + n + 1]) / 4;
  }
  return out;
}
