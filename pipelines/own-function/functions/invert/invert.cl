// SPDX-License-Identifier: Apache-2.0
// One work item a byte: workItems is "elements" in the manifest.
__kernel void invert(__global const uchar *in, __global uchar *out, int height, int width, int channels) {
  size_t i = get_global_id(0);
  out[i] = 255 - in[i];
}
