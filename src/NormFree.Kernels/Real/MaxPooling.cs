using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Simd;

namespace NormFree.Kernels.Real;

/// <summary>Max-pooling of channels-last maps; padding is ignored.</summary>
public abstract unsafe class MaxPooling
{
    /// <summary>The implementation for an instruction set.</summary>
    /// <exception cref="PlatformNotSupportedException">This processor does not support <paramref name="set"/>.</exception>
    public static MaxPooling For(InstructionSet set) => InstructionSets.Require(set) switch
    {
        InstructionSet.Avx512 => new MaxPooling<Avx512Floats, Vector512<float>>(),
        InstructionSet.Avx2 => new MaxPooling<Avx2Floats, Vector256<float>>(),
        InstructionSet.AdvSimd => new MaxPooling<AdvSimdFloats, Vector128<float>>(),
        _ => new MaxPooling<ScalarFloats, float>(),
    };

    /// <summary>Computes rows of the result. NaN is treated as smaller than all other values.</summary>
    /// <param name="shape">Window, stride and padding as those of a convolution with In = Out channels; the batch is ignored.</param>
    /// <param name="firstRow">The first row of the result.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="source">The whole map.</param>
    /// <param name="result">The first of these rows, rows × W' × C.</param>
    public abstract void Rows(in ConvolutionShape shape, int firstRow, int rows, float* source, float* result);
}

/// <summary><see cref="MaxPooling"/> for one instruction set: whole vectors of channels, then the remaining channels one by one.</summary>
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
                var (top, bottom) = Clip(y * shape.StrideY - shape.PadY, shape.KernelHeight, shape.Height);
                var (left, right) = Clip(x * shape.StrideX - shape.PadX, shape.KernelWidth, shape.Width);
                var first = source + ((nint)top * shape.Width + left) * shape.In;
                Pixel(first, bottom - top, right - left, (nint)shape.Width * shape.In, shape.In, result);
            }
    }

    private static (int First, int End) Clip(int start, int length, int side) => (Math.Max(0, start), Math.Min(side, start + length));

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
