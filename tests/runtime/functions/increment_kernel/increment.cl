// SPDX-License-Identifier: Apache-2.0
__kernel void increment(__global const uchar *in, __global uchar *out, int height, int width, int channels,
                        int step, float factor, int negate)
{
    const size_t i = get_global_id(0);
    if (i < (size_t)height * width * channels)
        out[i] = (uchar)(in[i] * factor) + (negate ? -step : step);
}
