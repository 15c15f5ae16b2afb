using System.Runtime.CompilerServices;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Real;

/// <summary><see cref="MaxPooling"/> on one instruction set: whole vectors of channels, then the rest one by one.</summary>
internal sealed unsafe class MaxPooling<TFloats, TVector> : MaxPooling
    where TFloats : struct, IFloatVectors<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public override void Rows(in ConvolutionShape shape, int firstRow, int rows, float* source, float* result)
    {
        for (var y = firstRow; y < firstRow + rows; y++)
            for (var x = 0; x < shape.OutWidth; x++, result += shape.In)
            {
                var (top, bottom) = Inside(y * shape.StrideY - shape.PadY, shape.KernelHeight, shape.Height);
                var (left, right) = Inside(x * shape.StrideX - shape.PadX, shape.KernelWidth, shape.Width);
                var first = source + ((nint)top * shape.Width + left) * shape.In;
                Pixel(first, bottom - top, right - left, (nint)shape.Width * shape.In, shape.In, result);
            }
    }

    private static (int First, int End) Inside(int start, int length, int side) => (Math.Max(0, start), Math.Min(side, start + length));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Pixel(float* source, int rows, int columns, nint rowStep, int channels, float* result)
    {
        var channel = 0;
        for (; channel + TFloats.Lanes <= channels; channel += TFloats.Lanes)
        {
            var largest = TFloats.Broadcast(float.NegativeInfinity);
            for (var row = 0; row < rows; row++)
                for (var column = 0; column < columns; column++)
                {
                    var value = TFloats.Load(source + row * rowStep + (nint)column * channels + channel);
                    largest = TFloats.Select(TFloats.LessThan(largest, value), value, largest);
                }
            TFloats.Store(largest, result + channel);
        }
        for (; channel < channels; channel++)
        {
            var largest = float.NegativeInfinity;
            for (var row = 0; row < rows; row++)
                for (var column = 0; column < columns; column++)
                    if (source[row * rowStep + (nint)column * channels + channel] is var value && value > largest) largest = value;
            result[channel] = largest;
        }
    }
}
