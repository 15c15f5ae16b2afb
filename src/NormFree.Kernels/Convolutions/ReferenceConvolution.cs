namespace NormFree.Kernels.Convolutions;

/// <summary>The binary convolution as plain loops: the exact reference of the fast implementations.</summary>
public static unsafe class ReferenceConvolution
{
    /// <summary>
    /// acc[n, y, x, o] = Σ_{i, j, c} s(n, y·stride + i − pad, x·stride + j − pad, c)·w(o, i, j, c), where s outside the map is the <see cref="PaddingValue"/>.
    /// </summary>
    /// <param name="shape">Sizes of the convolution.</param>
    /// <param name="activations">Signs, input pixels × ⌈C/64⌉ words; bit c mod 64 of word c/64 is 1 for +1.</param>
    /// <param name="signs">Signs of the filters, O × taps × ⌈C/64⌉ words.</param>
    /// <param name="padding">Value of padding.</param>
    /// <param name="target">Output pixels × O.</param>
    public static void Xnor(in ConvolutionShape shape, ulong* activations, ulong* signs, PaddingValue padding, int* target)
    {
        var words = (shape.In + 63) / 64;
        for (var n = 0; n < shape.Batch; n++)
            for (var y = 0; y < shape.OutHeight; y++)
                for (var x = 0; x < shape.OutWidth; x++)
                    for (var o = 0; o < shape.Out; o++)
                    {
                        var sum = 0;
                        for (var i = 0; i < shape.KernelHeight; i++)
                            for (var j = 0; j < shape.KernelWidth; j++)
                            {
                                int row = y * shape.StrideY + i - shape.PadY, column = x * shape.StrideX + j - shape.PadX;
                                var inside = row >= 0 && row < shape.Height && column >= 0 && column < shape.Width;
                                if (!inside && padding == PaddingValue.Zero) continue;
                                var pixel = activations + ((long)(n * shape.Height + row) * shape.Width + column) * words;
                                var filter = signs + ((long)o * shape.Taps + i * shape.KernelWidth + j) * words;
                                for (var c = 0; c < shape.In; c++) sum += (inside ? Sign(pixel, c) : 1) * Sign(filter, c);
                            }
                        *target++ = sum;
                    }
    }

    private static int Sign(ulong* words, int channel) => (words[channel / 64] >> (channel % 64) & 1) == 1 ? 1 : -1;
}
