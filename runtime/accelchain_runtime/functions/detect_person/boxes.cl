// SPDX-License-Identifier: Apache-2.0
// From the network's raw outputs to detections: decoding, threshold, non-maximum suppression; see decode.py.
//
// One work group does it all, so nothing passes through the host: its items first collect what is above the threshold,
// then find the best of those again and again, each time dropping what overlaps it. LANES is the size of the group:
// 1 on CPUs, where a loop is faster than a barrier.

#define COLUMNS 6
#define PERSON_COLUMN 1
#define PERSON_CLASS 0
#define CENTRE_SCALE 0.1f
#define SIZE_SCALE 0.2f
#define NOBODY (-1)

inline float inside(float v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

inline float overlap(float a1, float a2, float b1, float b2) {
  float low = a1 > b1 ? a1 : b1, high = a2 < b2 ? a2 : b2;
  return high > low ? high - low : 0;
}

// Candidates in scratch: box as x1, y1, x2, y2 (fractions of the picture); logit; anchor, NOBODY once dropped.
__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void find_boxes(
    __global const float *boxes, __global const float *classes, __global const float *anchors, __global float4 *corners,
    __global float *logits, __global int *owner, __global float *out, int count, int limit, float least_logit,
    float iou, float width, float height) {
  __local int found, best_of[LANES];
  int lane = get_local_id(0);
  if (lane == 0) found = 0;
  barrier(CLK_LOCAL_MEM_FENCE);

  for (int i = lane; i < count; i += LANES) {
    float person = classes[2 * i + PERSON_COLUMN];
    if (!(person >= least_logit)) continue;
    __global const float *t = boxes + 4 * i, *a = anchors + 4 * i;
    float y = t[0] * CENTRE_SCALE * a[2] + a[0], x = t[1] * CENTRE_SCALE * a[3] + a[1];
    float h = exp(t[2] * SIZE_SCALE) * a[2] / 2, w = exp(t[3] * SIZE_SCALE) * a[3] / 2;
    float4 box = (float4)(inside(x - w), inside(y - h), inside(x + w), inside(y + h));
    if (!(box.z > box.x && box.w > box.y)) continue;
    int at = atomic_inc(&found);
    corners[at] = box;
    logits[at] = person;
    owner[at] = i;
  }
  barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);

  int candidates = found, row = 0;
  for (; row < limit; row++) {
    int best = NOBODY;
    for (int i = lane; i < candidates; i += LANES)
      if (owner[i] != NOBODY && (best == NOBODY || logits[i] > logits[best] ||
                                 (logits[i] == logits[best] && owner[i] < owner[best])))
        best = i;
    best_of[lane] = best;
    barrier(CLK_LOCAL_MEM_FENCE);
    best = best_of[0];
    for (int l = 1; l < LANES; l++) {
      int other = best_of[l];
      if (other != NOBODY && (best == NOBODY || logits[other] > logits[best] ||
                              (logits[other] == logits[best] && owner[other] < owner[best])))
        best = other;
    }
    if (best == NOBODY) break;                     // the same on every lane
    float4 b = corners[best];
    float logit = logits[best], area = (b.z - b.x) * (b.w - b.y);
    if (lane == 0) {
      __global float *o = out + row * COLUMNS;
      o[0] = b.x * width;
      o[1] = b.y * height;
      o[2] = b.z * width;
      o[3] = b.w * height;
      o[4] = 1 / (1 + exp(-logit));
      o[5] = PERSON_CLASS;
    }
    barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);   // every lane has read who is best before someone drops it
    for (int i = lane; i < candidates; i += LANES) {
      float4 c = corners[i];
      float common = overlap(b.x, b.z, c.x, c.z) * overlap(b.y, b.w, c.y, c.w);
      float all = area + (c.z - c.x) * (c.w - c.y) - common;
      if (i == best || !(common <= iou * all)) owner[i] = NOBODY;
    }
    barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
  }
  for (int i = row * COLUMNS + lane; i < limit * COLUMNS; i += LANES) out[i] = 0;
}
