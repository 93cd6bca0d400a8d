// SPDX-License-Identifier: Apache-2.0
// One work item copies one row.
__kernel void copy_rows(__global const uchar *frames, __global uchar *out, int height, int width, int channels)
{
    const size_t bytes = (size_t)width * channels;
    const size_t start = get_global_id(0) * bytes;
    for (size_t i = 0; i < bytes; i++)
        out[start + i] = frames[start + i];
}
