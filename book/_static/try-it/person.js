/* Which pixels show a person and which what is behind: the steps of studiolike/capture/person.py, whose comments say why. */

import { MARGIN, frame } from "./landmarks.js";

const SIDE = 256, LOOK = 2.6, DOUBT = 0.5, SURE = 0.9;

/** Look around a face; gives a function of x and y in pixels of the picture: how sure the person is seen there, in [0, 1]. */
export async function findPerson(model, picture, points) {
  const { centre, side, angle } = frame(points), { planes, to } = picture.cut(centre, side / MARGIN * LOOK, angle, SIDE);
  const { probability } = await model.run("person_mask.onnx", { picture: [planes, [1, 3, SIDE, SIDE]] });
  const at = (x, y) => (x >= 0 && y >= 0 && x < SIDE && y < SIDE ? probability[y * SIDE + x] : 0);
  return (x, y) => {
    const [u, v] = to([x, y]).map((value) => value - 0.5), x0 = Math.floor(u), y0 = Math.floor(v), fx = u - x0, fy = v - y0;
    const found = (at(x0, y0) * (1 - fx) + at(x0 + 1, y0) * fx) * (1 - fy) + (at(x0, y0 + 1) * (1 - fx) + at(x0 + 1, y0 + 1) * fx) * fy;
    return Math.min(Math.max((found - DOUBT) / (SURE - DOUBT), 0), 1);
  };
}
