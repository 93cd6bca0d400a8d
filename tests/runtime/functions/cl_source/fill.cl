// SPDX-License-Identifier: Apache-2.0
__kernel void fill(__global uchar *out, int value, int row)
{
    __global uchar *line = out + get_global_id(0) * row;
    for (int i = 0; i < row; i++)
        line[i] = value;
}
