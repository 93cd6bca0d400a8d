// SPDX-License-Identifier: Apache-2.0
// The network for GPUs and FPGAs: a launch a layer, a work item makes four maps of one or a few pixels.
//
// Maps are float NHWC; channels come in multiples of four, except those of the last layers (heads), which are stored
// one by one. Neighbouring items make neighbouring maps, so that they read neighbouring weights and the same pixels.

#define G __global
#define PIXELS 4  // a 1x1 item's pixels: each weight that is read is used four times

inline void put(G float *out, float4 v, int maps) {
  if (maps >= 4) {
    vstore4(v, 0, out);
  } else {
    float one[4] = {v.x, v.y, v.z, v.w};
    for (int t = 0; t < maps; t++) out[t] = one[t];
  }
}

// 1x1 convolution [, plus residual]. Weights are [K][padded], padded = M rounded up to four.
__kernel void pointwise(const G float *weight, const G float *bias, const G float *x, const G float *residual,
                        G float *out, int has_residual, int offset, int M, int K, int pixels, float low, float high) {
  int m = get_global_id(0) * 4, first = get_global_id(1) * PIXELS, padded = (M + 3) / 4 * 4;
  float4 start = vload4(0, bias + m), sum[PIXELS] = {start, start, start, start};
  const G float *in[PIXELS];
  for (int i = 0; i < PIXELS; i++) in[i] = x + (first + i < pixels ? first + i : pixels - 1) * K;
  for (int k = 0; k < K; k++) {
    float4 w = vload4(0, weight + k * padded + m);
    for (int i = 0; i < PIXELS; i++) sum[i] += in[i][k] * w;
  }
  for (int i = 0; i < PIXELS && first + i < pixels; i++) {
    int at = (first + i) * M + m;
    float4 v = clamp(sum[i], low, high);
    if (has_residual) v += vload4(0, residual + at);
    put(out + offset + at, v, M - m);
  }
}

// Depthwise 3x3. Weights are [9][C].
__kernel void depthwise(const G float *weight, const G float *bias, const G float *x, G float *out, int C, int size,
                        int out_size, int stride, int pad, float low, float high) {
  int c = get_global_id(0) * 4, column = get_global_id(1), row = get_global_id(2);
  float4 sum = vload4(0, bias + c);
  for (int j = 0; j < 3; j++) {
    int y = row * stride - pad + j;
    for (int i = 0; i < 3; i++) {
      int at = column * stride - pad + i;
      if (y >= 0 && y < size && at >= 0 && at < size)
        sum += vload4(0, x + (y * size + at) * C + c) * vload4(0, weight + (3 * j + i) * C + c);
    }
  }
  vstore4(clamp(sum, low, high), 0, out + (row * out_size + column) * C + c);
}

// The first 3x3, from a picture (uint8 RGB) taken as x / 127.5 - 1. Weights are [27][M].
__kernel void stem(const G float *weight, const G float *bias, const G uchar *picture, G float *out, int M, int size,
                   int out_size, int stride, int pad, float low, float high) {
  int m = get_global_id(0) * 4, column = get_global_id(1), row = get_global_id(2);
  float4 sum = vload4(0, bias + m);
  for (int j = 0; j < 3; j++) {
    int y = row * stride - pad + j;
    for (int i = 0; i < 9; i++) {
      int at = column * stride - pad + i / 3;
      if (y >= 0 && y < size && at >= 0 && at < size)
        sum += (picture[(y * size + at) * 3 + i % 3] * (1 / 127.5f) - 1) * vload4(0, weight + (9 * j + i) * M + m);
    }
  }
  vstore4(clamp(sum, low, high), 0, out + (row * out_size + column) * M + m);
}
