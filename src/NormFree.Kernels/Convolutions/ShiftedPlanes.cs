using System.Numerics;
using NormFree.Kernels.Memory;
using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Convolutions;

/// <summary><see cref="TapPlanes"/> of convolutions that keep the size of the map: every plane is the first one shifted by some bits.</summary>
/// <remarks>
/// In the order of memory, the pixel that a tap (i, j) meets lies (i − pad)·W + (j − pad) pixels further. What a shift brings from beyond the map's
/// edges is masked off; the masks repeat after a few chunks, in which whole images and whole words end together.
/// </remarks>
internal static unsafe class ShiftedPlanes
{
    private const int Bits = 32;

    /// <summary>Whether the convolution keeps the size of the map and does not leave out pixels.</summary>
    public static bool Fit(in ConvolutionShape shape) =>
        shape.StrideX == 1 && shape.StrideY == 1 && shape.OutWidth == shape.Width && shape.OutHeight == shape.Height;

    /// <inheritdoc cref="TapPlanes.Make"/>
    public static void Make(ConvolutionShape shape, ulong* signs, uint* planes, IWorkers workers)
    {
        var point = shape with { KernelHeight = 1, KernelWidth = 1, PadX = 0, PadY = 0 };
        if (shape.Taps == 1)
        {
            TapPlanes.ForChunks(point, workers, chunk => TapPlanes.Gather(point, chunk, signs, planes));
            return;
        }
        using var plain = new NativeBuffer<uint>(TapPlanes.PlaneWords(point));
        var source = plain.Pointer;
        TapPlanes.ForChunks(point, workers, chunk => TapPlanes.Gather(point, chunk, signs, source));
        var masks = new EdgeMasks(shape);
        TapPlanes.ForChunks(shape, workers, chunk =>
        {
            for (var tap = 0; tap < shape.Taps; tap++) Shift(shape, chunk, tap, masks.Of(chunk, tap), source, planes + tap * TapPlanes.PlaneWords(shape));
        });
    }

    /// <summary>Writes a chunk of a plane: 32 bits from some bit of the first plane on, masked.</summary>
    private static void Shift(in ConvolutionShape shape, int chunk, int tap, uint mask, uint* source, uint* plane)
    {
        int stride = TapPlanes.Stride(shape), chunks = TapPlanes.Chunks(shape);
        var offset = (tap / shape.KernelWidth - shape.PadY) * shape.Width + tap % shape.KernelWidth - shape.PadX;
        int first = chunk + (offset >> 5), shift = offset & (Bits - 1);
        // Beyond the batch lies nothing that the mask leaves.
        var low = (uint)first < (uint)chunks ? source + (long)first * stride : source;
        var high = (uint)(first + 1) < (uint)chunks ? source + (long)(first + 1) * stride : source;
        var target = plane + (long)chunk * stride;
        var masks = new Vector<uint>(mask);
        for (var channel = 0; channel < stride; channel += Vector<uint>.Count)
        {
            var words = Vector.Load(low + channel) >>> shift;
            if (shift != 0) words |= Vector.Load(high + channel) << (Bits - shift);
            (words & masks).Store(target + channel);
        }
    }
}
