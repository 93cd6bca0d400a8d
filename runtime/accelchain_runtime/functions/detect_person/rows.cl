// SPDX-License-Identifier: Apache-2.0
// The network for CPUs: a work item makes a band of output rows, with as many bands as the device has cores.
//
// Maps are float NHWC. V is the number of floats in a vector (8 or 16), vec is floatV, PT the pixels of a register tile.
// Hot loops hold operators and pointer casts only: PoCL calls its built-ins (vloadn, fma, min, clamp) out of line, and
// a call spills every accumulator. A tile is PT x 2 accumulators: they fill the registers of hardware of this width.

#define G __global
typedef vec anyvec __attribute__((aligned(4)));   // a vector at any address of a float
#define LOAD(p) (*(const G anyvec *)(p))
#define STORE(p, v) (*(G anyvec *)(p) = (v))
#define UNROLL _Pragma("unroll")

// An LLVM older than the CPU takes it for an earlier one and compiles for 256 bits, though the driver reports the real
// width. These functions then ask for it themselves; they stay out of line, because what they are called from can't.
#if V == 16 && defined(__x86_64__) && !defined(__AVX512F__)
#define WIDE __attribute__((target("avx512f,fma")))
#define WIDE_ENTRY WIDE __attribute__((noinline))
#else
#define WIDE
#define WIDE_ENTRY
#endif

WIDE inline vec held(vec v, float low, float high) {
  v = v > low ? v : low;
  return v < high ? v : high;
}

// PT pixels x NV vectors of output maps in registers. Input k of row j for pixel i is x[j * jump + i * step + k].
// `pixels` and `maps` bound what is stored; what is computed beyond them is thrown away (buffers end in slack).
#define DEFINE_TILE(NAME, NV)                                                                                         \
  WIDE inline void NAME(const G float *w, const G float *b, const G float *x, const G float *residual, G float *out,  \
                   int maps, int stride, int J, int jump, int step, int K, int pixels, float low, float high) {       \
    vec sum[PT][NV], weight[NV];                                                                                      \
    UNROLL for (int i = 0; i < PT; i++) UNROLL for (int v = 0; v < NV; v++) sum[i][v] = LOAD(b + v * V);              \
    for (int j = 0; j < J; j++, x += jump)                                                                            \
      for (int k = 0; k < K; k++, w += NV * V) {                                                                      \
        UNROLL for (int v = 0; v < NV; v++) weight[v] = LOAD(w + v * V);                                              \
        UNROLL for (int i = 0; i < PT; i++) UNROLL for (int v = 0; v < NV; v++)                                       \
          sum[i][v] += x[i * step + k] * weight[v];                                                                   \
      }                                                                                                               \
    UNROLL for (int i = 0; i < PT; i++) UNROLL for (int v = 0; v < NV; v++) if (i < pixels) {                         \
      int at = i * stride + v * V, left = maps - v * V;                                                               \
      union { vec all; float one[V]; } u = {held(sum[i][v], low, high)};                                              \
      if (residual) u.all += LOAD(residual + at);                                                                     \
      if (left >= V) STORE(out + at, u.all);                                                                          \
      else for (int t = 0; t < left; t++) out[at + t] = u.one[t];                                                     \
    }                                                                                                                 \
  }
DEFINE_TILE(tile_one, 1)
DEFINE_TILE(tile_two, 2)

// out = held(bias + x * weight) + residual for `pixels` pixels and the maps first..last-1 of M. Weights lie in panels of
// 2V maps, [panel][J * K][2V]; `first` begins a panel, and M's last panel may be one vector wide.
// A 1x1 convolution has J = 1 row and step = K. The stem reads J = 3 picture rows, K = 9 numbers each, 6 apart.
WIDE_ENTRY inline
void convolve(const G float *weight, const G float *bias, const G float *x, const G float *residual, G float *out,
              int M, int J, int jump, int step, int K, int pixels, int first, int last, float low, float high) {
  for (int m = first; m < last; m += 2 * V)
    for (int at = 0; at < pixels; at += PT) {
      int p = at < pixels - PT ? at : (pixels > PT ? pixels - PT : 0);   // the last tile overlaps the one before
      const G float *w = weight + m * J * K, *r = residual ? residual + p * M + m : 0;
      if (M - m > V)
        tile_two(w, bias + m, x + p * step, r, out + p * M + m, M - m, M, J, jump, step, K, pixels, low, high);
      else
        tile_one(w, bias + m, x + p * step, r, out + p * M + m, M - m, M, J, jump, step, K, pixels, low, high);
    }
}

// One output row of a depthwise 3x3. A null row lies outside the picture and counts as zero. Weights are [9][C].
WIDE_ENTRY inline
void depthwise_row(const G float *weight, const G float *bias, const G float *above, const G float *centre,
                   const G float *below, G float *out, int C, int width, int out_width, int stride, int pad) {
  for (int c = 0; c < C; c += V) {
    vec w[9], start = LOAD(bias + c);
    UNROLL for (int t = 0; t < 9; t++) w[t] = LOAD(weight + t * C + c);
    UNROLL for (int t = 0; t < 3; t++) {
      if (!above) w[t] = 0;
      if (!below) w[t + 6] = 0;
    }
    const G float *a = (above ? above : centre) + c - pad * C, *m = centre + c - pad * C;
    const G float *z = (below ? below : centre) + c - pad * C;
    for (int x = 0; x < out_width; x++, a += stride * C, m += stride * C, z += stride * C) {
      vec v = start + w[1] * LOAD(a + C) + w[4] * LOAD(m + C) + w[7] * LOAD(z + C);
      if (x * stride >= pad) v += w[0] * LOAD(a) + w[3] * LOAD(m) + w[6] * LOAD(z);
      if (x * stride - pad + 2 < width) v += w[2] * LOAD(a + 2 * C) + w[5] * LOAD(m + 2 * C) + w[8] * LOAD(z + 2 * C);
      STORE(out + x * C + c, held(v, 0, 6));
    }
  }
}

// Rows first..first+2 of the picture (uint8 RGB) as x / 127.5 - 1: one zero pixel left and right, zero rows outside.
inline void picture_rows(const G uchar *picture, G float *out, int first, int size) {
  int n = size * 3;
  for (int y = first; y < first + 3; y++, out += n + 6) {
    for (int i = 0; i < n + 6; i++) out[i] = 0;
    if (y >= 0 && y < size)
      for (int i = 0; i < n; i++) out[i + 3] = picture[y * n + i] * (1 / 127.5f) - 1;
  }
}

// A 1x1 convolution on its own: a work item makes one panel of 2V maps for all pixels.
__kernel void pointwise(const G float *weight, const G float *bias, const G float *x, G float *out, int M, int K,
                        int pixels, float low, float high) {
  int first = get_global_id(0) * 2 * V;
  convolve(weight, bias, x, 0, out, M, 1, 0, K, K, pixels, first, first + 1, low, high);
}

#define EXPAND_NOTHING 0
#define EXPAND_POINTWISE 1
#define EXPAND_STEM 2

// [expand,] depthwise 3x3, project 1x1 [, add the input]: a band of output rows, one row at a time. The three expanded
// rows in use stay in a ring in scratch memory, so that an expanded map never leaves the cache.
// scratch, `share` floats an item: three expanded rows; one depthwise row and PT pixels of slack; three picture rows.
__kernel void block(const G float *expand_weight, const G float *expand_bias, const G float *depth_weight,
                    const G float *depth_bias, const G float *project_weight, const G float *project_bias,
                    const G float *x, G float *out, G float *scratch, int expand, int K, int C, int M, int size,
                    int out_size, int stride, int pad, int rows, int residual, int offset, int share, float low,
                    float high) {
  int first = get_global_id(0) * rows, last = first + rows < out_size ? first + rows : out_size;
  int line = size * C, expanded = -1;             // rows of the expanded map that exist, counted from the top
  G float *ring = scratch + get_global_id(0) * share, *depth = ring + 3 * line, *picture = depth + (out_size + PT) * C;
  for (int y = first; y < last; y++) {
    const G float *row[3];
    UNROLL for (int j = 0; j < 3; j++) {
      int at = y * stride - pad + j, inside = at >= 0 && at < size;
      G float *made = ring + at % 3 * line;
      if (expand != EXPAND_NOTHING && inside && at >= expanded) {
        expanded = at + 1;
        if (expand == EXPAND_STEM) {
          picture_rows((const G uchar *)x, picture, at * 2, 2 * size);
          convolve(expand_weight, expand_bias, picture + 3, 0, made, C, 3, 6 * size + 6, 6, 9, size, 0, C, 0, 6);
        } else {
          convolve(expand_weight, expand_bias, x + at * size * K, 0, made, C, 1, 0, K, K, size, 0, C, 0, 6);
        }
      }
      row[j] = !inside ? 0 : expand != EXPAND_NOTHING ? made : x + at * line;
    }
    depthwise_row(depth_weight, depth_bias, row[0], row[1], row[2], depth, C, size, out_size, stride, pad);
    convolve(project_weight, project_bias, depth, residual ? x + y * size * K : 0, out + offset + y * out_size * M, M, 1,
             0, C, C, out_size, 0, M, low, high);
  }
}
