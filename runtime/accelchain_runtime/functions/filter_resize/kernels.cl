// SPDX-License-Identifier: Apache-2.0
// Filter (3x3) and bilinear resize of uint8 RGB pictures, in 16-bit fixed point with 8 fraction bits.
//
// Both kernels do the same integer arithmetic on every output pixel, so their results are equal bit by bit:
//   1. rows:    t = sum of TAPS source rows, each times its weight (16 fraction bits)       -> 8.8 fixed point
//   2. Gauss:   t = t[x-1]/4 + t[x]/2 + t[x+1]/4                                            -> 8.8 fixed point
//   3. columns: t[x0] and t[x0+1], each times its weight (16 fraction bits), rounded        -> uint8
// The Gaussian's vertical part is folded into the weights of step 1 (four rows instead of two); median and sharpen
// are not linear, so they make filtered source rows first. The row tables come from the host: see tables.py.

#define G __global

#define FILTER_NONE 0
#define FILTER_GAUSSIAN 1
#define FILTER_MEDIAN 2
#define FILTER_SHARPEN 3

#if FILTER == FILTER_GAUSSIAN
#define TAPS 4
#else
#define TAPS 2
#endif
#define MARGIN 8  // numbers beside an 8.8 row that may be read
#define FILTERED (FILTER == FILTER_MEDIAN || FILTER == FILTER_SHARPEN)

#define LEAST(a, b) ((a) < (b) ? (a) : (b))
#define MOST(a, b) ((a) < (b) ? (b) : (a))
#define ORDER(a, b) { uchar low = LEAST(a, b); b = MOST(a, b); a = low; }

// Where a row or column beside the picture is read: Gauss and sharpen mirror it without the edge, median repeats the edge.
inline int outside(int i, int n) {
#if FILTER == FILTER_MEDIAN
  return i < 0 ? 0 : i >= n ? n - 1 : i;
#else
  i = i < 0 ? -i : i >= n ? 2 * n - 2 - i : i;
  return i < 0 ? 0 : i >= n ? n - 1 : i;          // pictures of one or two pixels
#endif
}

// Weighted pixel: an 8.8 number from a byte and a weight with 16 fraction bits.
inline ushort weighted(uchar pixel, ushort weight) {
  return (ushort)(((uint)(ushort)(pixel << 8) * (uint)weight) >> 16);
}

inline ushort smooth(ushort left, ushort centre, ushort right) {
  return (ushort)((left >> 2) + (centre >> 1) + (right >> 2));
}

inline uchar between(ushort left, ushort right, ushort left_weight, ushort right_weight) {
  ushort sum = (ushort)(((uint)left * (uint)left_weight) >> 16) + (ushort)(((uint)right * (uint)right_weight) >> 16);
  return (uchar)((ushort)(sum + 128) >> 8);
}

inline uchar sharper(uchar up, uchar left, uchar centre, uchar right, uchar down) {
  short v = (short)(5 * centre - up - left - right - down);
  v = v < 0 ? (short)0 : v;
  return (uchar)(v > 255 ? (short)255 : v);
}

// Median of nine: Paeth's exchange network, 19 exchanges.
inline uchar middle(uchar a, uchar b, uchar c, uchar d, uchar e, uchar f, uchar g, uchar h, uchar i) {
  ORDER(b, c) ORDER(e, f) ORDER(h, i) ORDER(a, b) ORDER(d, e) ORDER(g, h) ORDER(b, c) ORDER(e, f) ORDER(h, i)
  d = MOST(a, d); f = LEAST(f, i); ORDER(e, h) g = MOST(d, g); e = MOST(b, e); c = LEAST(c, f);
  e = LEAST(e, h); ORDER(e, c) e = MOST(g, e);
  return LEAST(e, c);
}

inline uchar filtered(uchar a, uchar b, uchar c, uchar d, uchar e, uchar f, uchar g, uchar h, uchar i) {
#if FILTER == FILTER_MEDIAN
  return middle(a, b, c, d, e, f, g, h, i);
#else
  return sharper(b, d, e, f, h);
#endif
}

inline void blend_two(const G uchar *restrict a, const G uchar *restrict b, G ushort *restrict out, ushort u, ushort v,
                      int n) {
  for (int i = 0; i < n; i++) out[i] = weighted(a[i], u) + weighted(b[i], v);
}

inline void blend_four(const G uchar *restrict a, const G uchar *restrict b, const G uchar *restrict c,
                       const G uchar *restrict d, G ushort *restrict out, ushort u, ushort v, ushort w, ushort z, int n) {
  for (int i = 0; i < n; i++) out[i] = weighted(a[i], u) + weighted(b[i], v) + weighted(c[i], w) + weighted(d[i], z);
}

inline void smooth_row(const G ushort *restrict in, G ushort *restrict out, int n) {
  for (int i = 0; i < n; i++) out[i] = smooth(in[i - 3], in[i], in[i + 3]);
}

#if FILTERED
// One filtered source row. Inner pixels have both neighbours, so the loop vectorises.
inline void filter_row(const G uchar *restrict up, const G uchar *restrict at, const G uchar *restrict down,
                       G uchar *restrict out, int width) {
  int n = 3 * width;
  for (int i = 3; i < n - 3; i++)
    out[i] = filtered(up[i - 3], up[i], up[i + 3], at[i - 3], at[i], at[i + 3], down[i - 3], down[i], down[i + 3]);
  for (int edge = 0; edge < 2; edge++) {
    int x = edge ? width - 1 : 0, l = 3 * outside(x - 1, width), r = 3 * outside(x + 1, width);
    for (int c = 0; c < 3; c++)
      out[3 * x + c] = filtered(up[l + c], up[3 * x + c], up[r + c], at[l + c], at[3 * x + c], at[r + c],
                                down[l + c], down[3 * x + c], down[r + c]);
  }
}
#endif

// Four channels of a pixel at any address, copied as one number: three are wanted, the fourth is never looked at.
typedef ulong __attribute__((aligned(2))) Pixel16;
typedef uint __attribute__((aligned(1))) Pixel8;

// Three of four channels; a store of four bytes is overwritten by the next pixel's, so the last pixel needs three stores.
inline void drop_fourth(const G uchar *restrict pixels, G uchar *restrict out, int width) {
  for (int x = 0; x < width - 1; x++) *(G Pixel8 *)(out + 3 * x) = *(const G Pixel8 *)(pixels + 4 * x);
  for (int c = 0; c < 3; c++) out[3 * width - 3 + c] = pixels[4 * width - 4 + c];
}

// The columns of one output row: gather both neighbours as four channels, blend in one vectorised pass, drop the fourth.
inline void scale_row(const G ushort *restrict line, G ushort *restrict left, G ushort *restrict right,
                      G uchar *restrict pixels, G uchar *restrict out, const G int *restrict column_index,
                      const G ushort *restrict column_weight, int width) {
  for (int x = 0; x < width; x++) {
    const G ushort *p = line + column_index[x];
    *(G Pixel16 *)(left + 4 * x) = *(const G Pixel16 *)p;
    *(G Pixel16 *)(right + 4 * x) = *(const G Pixel16 *)(p + 3);
  }
  for (int i = 0; i < 4 * width; i++)
    pixels[i] = between(left[i], right[i], column_weight[i], column_weight[4 * width + i]);
  drop_fourth(pixels, out, width);
}

// A work item makes `rows` rows of the output. `scratch` holds `share` bytes an item: one or two 8.8 rows with margins,
// both neighbours of every output pixel and the pixels themselves as four channels, two filtered source rows.
__kernel void resize_rows(const G uchar *restrict source, G uchar *restrict out, const G int *restrict row_index,
                          const G ushort *restrict row_weight, const G int *restrict column_index,
                          const G ushort *restrict column_weight, G uchar *scratch, int share, int source_width,
                          int source_height, int width, int height, int rows) {
  int first = get_global_id(0) * rows, last = first + rows < height ? first + rows : height, n = 3 * source_width;
  G uchar *mine = scratch + (size_t)get_global_id(0) * share;
  G ushort *blend = (G ushort *)mine + MARGIN, *line = blend;
#if FILTER == FILTER_GAUSSIAN
  line += n + 2 * MARGIN;
#endif
  G ushort *left = line + n + MARGIN, *right = left + 4 * width;
  G uchar *pixels = (G uchar *)(right + 4 * width);
#if FILTERED
  G uchar *ring[2] = {pixels + 4 * width, pixels + 4 * width + n};
  int held[2] = {-1, -1};
#endif
  for (int y = first; y < last; y++) {
    const G uchar *row[TAPS];
    ushort weight[TAPS];
    for (int t = 0; t < TAPS; t++) {
      int at = row_index[y * TAPS + t];
      weight[t] = row_weight[y * TAPS + t];
#if FILTERED
      if (held[at & 1] != at) {
        filter_row(source + (size_t)outside(at - 1, source_height) * n, source + (size_t)at * n,
                   source + (size_t)outside(at + 1, source_height) * n, ring[at & 1], source_width);
        held[at & 1] = at;
      }
      row[t] = ring[at & 1];
#else
      row[t] = source + (size_t)at * n;
#endif
    }
#if TAPS == 4
    blend_four(row[0], row[1], row[2], row[3], blend, weight[0], weight[1], weight[2], weight[3], n);
    int l = 3 * outside(-1, source_width), r = 3 * outside(source_width, source_width);
    for (int k = 0; k < 3; k++) {
      blend[k - 3] = blend[l + k];
      blend[n + k] = blend[r + k];
    }
    smooth_row(blend, line, n);
#else
    blend_two(row[0], row[1], blend, weight[0], weight[1], n);
#endif
    scale_row(line, left, right, pixels, out + (size_t)y * 3 * width, column_index, column_weight, width);
  }
}

// A work item makes one pixel of the output: neighbours lie in the device's caches, no scratch memory.
__kernel void resize_pixels(const G uchar *restrict source, G uchar *restrict out, const G int *restrict row_index,
                            const G ushort *restrict row_weight, const G int *restrict column_index,
                            const G ushort *restrict column_weight, int source_width, int source_height, int width) {
  int x = get_global_id(0), y = get_global_id(1), n = 3 * source_width, x0 = column_index[x] / 3;
  ushort left_weight = column_weight[4 * x], right_weight = column_weight[4 * (width + x)];
  for (int c = 0; c < 3; c++) {
    ushort line[2];
    for (int side = 0; side < 2; side++) {
      int at = x0 + side < source_width ? x0 + side : x0;      // its weight is 0 beside the last column
      int l = 3 * outside(at - 1, source_width) + c, m = 3 * at + c, r = 3 * outside(at + 1, source_width) + c;
#if FILTER == FILTER_GAUSSIAN
      ushort left = 0, centre = 0, right = 0;
#else
      ushort centre = 0;
#endif
      for (int t = 0; t < TAPS; t++) {
        int i = row_index[y * TAPS + t];
        ushort weight = row_weight[y * TAPS + t];
        const G uchar *row = source + (size_t)i * n;
#if FILTERED
        const G uchar *up = source + (size_t)outside(i - 1, source_height) * n;
        const G uchar *down = source + (size_t)outside(i + 1, source_height) * n;
        centre += weighted(filtered(up[l], up[m], up[r], row[l], row[m], row[r], down[l], down[m], down[r]), weight);
#else
        centre += weighted(row[m], weight);
#endif
#if FILTER == FILTER_GAUSSIAN
        left += weighted(row[l], weight);
        right += weighted(row[r], weight);
#endif
      }
#if FILTER == FILTER_GAUSSIAN
      line[side] = smooth(left, centre, right);
#else
      line[side] = centre;
#endif
    }
    out[((size_t)y * width + x) * 3 + c] = between(line[0], line[1], left_weight, right_weight);
  }
}
