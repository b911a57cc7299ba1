/* One photo → a phone texture in the `head` layout and its visibility: the steps of studiolike/capture/unwrap.py, whose
   comments say why. Maps are Float32Array of n² numbers, row after row. */

import { PhotoError, Picture, findLandmarks } from "./landmarks.js";
import { COORDINATES, between, fillUnobserved, loadGeometry } from "./layout.js";
import { measureOutline } from "./outline.js";
import { findPerson } from "./person.js";
import { depthBuffer, fitPose, headBuffer, headSurface } from "./surface.js";

const GRAZING = 0.15, SQUARE = 0.6, DEPTH_SLACK = 0.025, RIM = [0.008, 0.03], HAIR = 0.15, OPAQUE = 4, OPEN_MOUTH = 0.06;
const MAX_YAW = 60, MAX_PITCH = 50, MIN_FACE_PIXELS = 48, MIN_CHEEK = 0.15;
const LARGEST_PHOTO = 3072; // pixels of the longer side; more is not in a texture of 512
const AT_PLACE = 0.06; // widths of the face that landmarks of a texture are from their places in the mean, at most; most have half of it
const LIPS = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185];
const INNER_LIPS = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191];
const MOUTH = INNER_LIPS.map((k) => ({ 78: 61, 308: 291 })[k] ?? k); // to the corners of the lips

const clamp = (x) => Math.min(Math.max(x, 0), 1);

/** A bitmap as a `Picture` with the landmarks of its only face. */
export async function findFace(model, image) {
  const scale = Math.min(1, LARGEST_PHOTO / Math.max(image.width, image.height));
  const picture = Picture.from({ width: Math.round(image.width * scale), height: Math.round(image.height * scale) }, image);
  return { picture, points: await findLandmarks(model, picture) };
}

/** Whether a face is where the layout has it: then the picture is a texture. */
export function inLayout({ picture, points }, { places }) {
  if (picture.width !== picture.height) return false;
  const across = places.map(([u]) => u), wide = Math.max(...across) - Math.min(...across);
  const off = points.map(([x, y], k) => Math.hypot(x / picture.width - places[k][0], y / picture.height - places[k][1]));
  return off.reduce((a, b) => a + b, 0) / off.length < AT_PLACE * wide;
}

export async function unwrapPhoto(model, { picture, points }, size) {
  return unwrap(picture, points, await findPerson(model, picture, points), size, await loadGeometry());
}

/** The texture of a `Picture` with known landmarks; `person` tells how sure the person is seen at a place of it. */
export function unwrap(picture, points, person, size, shape) {
  const pose = fitPose(points, shape);
  refusePose(pose, points, picture);
  const outward = measureOutline(person, headSurface(points, pose, COORDINATES, shape), pose, picture);
  const posed = (side) => headSurface(points, pose, side, shape, outward), surface = posed(size);
  const visibility = visibilityMap(surface, points, pose, picture, person, shape);
  refuseHidden(visibility, surface);
  const texture = fillUnobserved(sample(picture, surface, visibility, posed), visibility.map((v) => Math.min(OPAQUE * v, 1)), size).map(clamp);
  const warnings = Math.abs(pose.yaw) > 35 ? ["The head is turned, so the far cheek is only partly seen."] : [];
  if (mouthOpening(points) > OPEN_MOUTH) warnings.push("The mouth is open; what shows between the lips was left out.");
  return { name: "Your photo", texture, visibility, size, points, outward, warnings };
}

/** Gap between the inner lips in mouth widths. */
function mouthOpening(points) {
  const gap = (a, b) => Math.hypot(...points[a].map((v, c) => v - points[b][c]));
  return gap(13, 14) / Math.max(gap(78, 308), 1e-6);
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

// ------------------------------------------------------------------------------------------------ visibility

function visibilityMap(surface, points, pose, { width, height }, person, shape) {
  const { size, triangle, x, y, depth, facing } = surface, seen = new Float32Array(size * size);
  const margin = (k) => clamp(Math.min(x[k], width - x[k], y[k], height - y[k]) / (0.02 * pose.facePixels));
  const face = depthBuffer(points, shape.triangles), head = headBuffer(surface), slack = DEPTH_SLACK * pose.facePixels;
  for (let k = 0; k < seen.length; k++) {
    const squarely = clamp((facing[k] - GRAZING) / (SQUARE - GRAZING)), shown = person(x[k], y[k]);
    const unhidden = (buffer) => 1 - clamp((buffer.depthAt(x[k], y[k]) - depth[k] - slack) / slack);
    if (triangle[k] >= 0) {
      const rim = clamp((face.outlineAt(x[k], y[k]) / pose.facePixels - RIM[0]) / (RIM[1] - RIM[0]));
      seen[k] = squarely * unhidden(face) * (1 - clamp((0.6 - facing[k]) / 0.2) * (1 - Math.max(rim, shown)));
    } else {
      const crown = between(shape.crown, 0, k, size) / 255, nobodys = between(shape.nobodys, 0, k, size) / 255;
      const loose = squarely + crown * (clamp(facing[k] / HAIR) - squarely);
      seen[k] = loose * unhidden(head) * shown * (1 - nobodys);
    }
  }
  const [lips, inner, mouth] = [LIPS, INNER_LIPS, MOUTH].map((ring) => texelsIn(ring.map((k) => shape.places[k]), size));
  lipsSeen(seen, size, lips);
  seen.forEach((value, k) => { seen[k] = value * margin(k); });
  if (mouthOpening(points) > OPEN_MOUTH) for (const k of mouth) seen[k] = 0;
  const reach = Math.max(1, Math.round(size / 96)), sigma = size / 160, radius = Math.ceil(3 * sigma);
  const taps = Float64Array.from({ length: 2 * radius + 1 }, (_, k) => Math.exp(-0.5 * ((k - radius) / sigma) ** 2));
  const sum = taps.reduce((a, b) => a + b, 0);
  const least = (values) => values.reduce((a, b) => (b < a ? b : a)), mean = (values) => values.reduce((s, v, k) => s + v * taps[k], 0) / sum;
  const worn = alongBoth(alongBoth(seen, size, reach, least, true), size, radius, mean, false);
  for (const k of inner) worn[k] = 0;
  return worn.map((value, k) => (seen[k] > 0 ? clamp(value) : 0));
}

/** Where lips meet, a mesh folds: they are at least as well seen as the skin above and below them lets expect. */
function lipsSeen(seen, size, lips) {
  const columns = new Map();
  for (const k of lips) columns.set(k % size, [...(columns.get(k % size) ?? []), k]);
  for (const texels of columns.values()) {
    const above = texels[0] - size, below = texels[texels.length - 1] + size, from = seen[above], to = seen[below];
    for (const k of texels) seen[k] = Math.max(seen[k], from + (to - from) * (k - above) / (below - above));
  }
}

/** The texels of a square map whose middle lies in a polygon of places in [0, 1]², row after row. */
function texelsIn(polygon, size) {
  const ends = (axis) => [Math.floor(Math.min(...polygon.map((p) => p[axis] * size))), Math.ceil(Math.max(...polygon.map((p) => p[axis] * size)))];
  const [left, right] = ends(0), [top, bottom] = ends(1), found = [];
  for (let row = top; row < bottom; row++) for (let column = left; column < right; column++) {
    if (within(polygon, (column + 0.5) / size, (row + 0.5) / size)) found.push(row * size + column);
  }
  return found;
}

/** A filter of neighbours along rows, then along columns. Outside lies 0 if `empty`, else rows go on and columns repeat their end. */
function alongBoth(map, size, reach, filter, empty) {
  const window = new Float64Array(2 * reach + 1), end = (k) => Math.min(Math.max(k, 0), size - 1);
  for (const [step, across, beyond] of [[1, size, (k) => (k + size) % size], [size, 1, end]]) {
    const out = new Float32Array(size * size);
    for (let line = 0; line < size; line++) for (let k = 0; k < size; k++) {
      for (let d = -reach; d <= reach; d++) {
        const inside = k + d >= 0 && k + d < size;
        window[d + reach] = inside || !empty ? map[line * across + (inside ? k + d : beyond(k + d)) * step] : 0;
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

/** The photo's colour at every texel that was seen: area means first, then bicubic, 2 × 2 samples a texel where pixels are finer. */
function sample(picture, surface, visibility, posed) {
  const { size, triangle, x, y } = surface, steps = [];
  for (let k = 0; k < size * size - size - 1; k++) {
    if (visibility[k] <= 0.1 || [k, k + 1, k + size].some((other) => triangle[other] < 0)) continue;
    steps.push(Math.sqrt(Math.abs((x[k + 1] - x[k]) * (y[k + size] - y[k]) - (y[k + 1] - y[k]) * (x[k + size] - x[k]))));
  }
  const density = steps.sort((a, b) => a - b)[Math.floor(0.9 * (steps.length - 1))] || 1;
  const shrink = Math.max(1, Math.floor(density / 1.5)), over = density / shrink > 1.2 ? 2 : 1;
  const level = picture.reduced(shrink), fine = over === 1 ? surface : posed(size * over);
  const texture = new Float32Array(3 * size * size), colour = [0, 0, 0];
  for (let k = 0; k < fine.x.length; k++) {
    const to = Math.floor(Math.floor(k / fine.size) / over) * size + Math.floor(k % fine.size / over);
    if (!(visibility[to] > 0)) continue;
    bicubic(level, fine.x[k] / shrink - 0.5, fine.y[k] / shrink - 0.5, colour);
    for (let c = 0; c < 3; c++) texture[c * size * size + to] += clamp(colour[c] / 255) / over ** 2;
  }
  return texture;
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
