/* The `head` layout: its face mesh and base head, and maps over it. The steps of studiolike/layout.py and studiolike/image.py, whose
   comments say why. Maps are arrays of n² numbers, row after row, one channel after the other; the left and the right border are one seam. */

import { at } from "./model.js";

export const COORDINATES = 256; // texels of the maps that are fetched, along a side
const LIPS = 9; // pairs of points that meet
export const RAYS = 21; // of the outline
let geometry;

/** Mesh, places in the layout, how lips close, maps of the base head, see write_geometry in book/tools/page_model.py. */
export function readGeometry(buffer) {
  const texels = COORDINATES ** 2, map = 468 * (3 + 2 + LIPS) + RAYS, numbers = new Float32Array(buffer, 0, map + 7 * texels);
  const rows = (values, width) => Array.from({ length: values.length / width }, (_, k) => [...values.subarray(k * width, (k + 1) * width)]);
  const regions = new Uint8Array(buffer, buffer.byteLength - 2 * texels);
  const whole = new Uint16Array(buffer, numbers.byteLength, (regions.byteOffset - numbers.byteLength) / 2);
  return {
    vertices: rows(numbers.subarray(0, 468 * 3), 3),
    places: rows(numbers.subarray(468 * 3, 468 * 5), 2),
    closing: rows(numbers.subarray(468 * 5, 468 * (5 + LIPS)), LIPS),
    outline: [...numbers.subarray(map - RAYS, map)], // distances, cm
    positions: numbers.subarray(map, map + 3 * texels),
    anatomy: numbers.subarray(map + 3 * texels, map + 6 * texels), // cm by which an avatar's neck and ears differ
    room: numbers.subarray(map + 6 * texels), // cm that the outline may move the head by
    lips: rows(whole.subarray(0, 2 * LIPS), 2),
    triangles: rows(whole.subarray(2 * LIPS), 3),
    crown: regions.subarray(0, texels), // 255 inside
    nobodys: regions.subarray(texels), // ears and neck
  };
}

export async function loadGeometry() {
  geometry ??= readGeometry(await (await fetch(at("geometry.bin"))).arrayBuffer());
  return geometry;
}

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

/** What the 468 points have, three numbers each, over the triangles of the face, and smoothly on around it: 3 · COORDINATES². */
export function spread(values, shape) {
  const n = COORDINATES, { triangle, weights } = coverage(n, shape), found = new Float32Array(3 * n * n), inside = new Float32Array(n * n);
  triangle.forEach((number, k) => {
    if (number < 0) return;
    inside[k] = 1;
    shape.triangles[number].forEach((corner, j) => {
      for (let c = 0; c < 3; c++) found[c * n * n + k] += weights[3 * k + j] * values[corner][c];
    });
  });
  return fillUnobserved(found, inside, n);
}

/** Between the texels of a map of COORDINATES², at the middle of texel k of `size`². */
export function between(map, channel, k, size) {
  const n = COORDINATES, place = (texel) => Math.min(Math.max((texel + 0.5) / size * n - 0.5, 0), n - 1.001);
  const x = place(k % size), y = place(Math.floor(k / size)), x0 = Math.floor(x), y0 = Math.floor(y), fx = x - x0, fy = y - y0;
  const from = channel * n * n + y0 * n + x0;
  return (map[from] * (1 - fx) + map[from + 1] * fx) * (1 - fy) + (map[from + n] * (1 - fx) + map[from + n + 1] * fx) * fy;
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
