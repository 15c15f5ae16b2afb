using NormFree.Kernels.Activations;
using NormFree.Kernels.Convolutions;
using NormFree.Kernels.Memory;
using NormFree.Torch.Native;
using static TorchSharp.torch;

namespace NormFree.Torch.Fused;

/// <summary>Binary input times binary filters: XNOR and popcount forward, table lookups backward.</summary>
internal sealed unsafe class SignedProduct(BinaryInput input, LayerFilters filters) : IBinaryProduct
{
    /// <summary>Results of a task, in values: they stay in cache until they are read.</summary>
    private const int ValuesOfTask = 32 << 10;

    private readonly ConvolutionShape shape = input.Shape;

    /// <inheritdoc/>
    public void Forward(IProductReader reader)
    {
        using var prepared = XnorFilters.Create(shape, filters.Signs!.Pointer);
        var bands = new RowBands(shape.Batch, shape.OutHeight, Math.Max(1, ValuesOfTask / (shape.OutWidth * shape.Out)));
        TorchWorkers.Instance.Run(bands.Count, task =>
        {
            var (image, row, rows) = bands[task];
            var pixels = rows * shape.OutWidth;
            var values = (long)pixels * shape.Out;
            var scratch = Scratch.OfThread(XnorConvolution.ScratchBytes(shape) + values * sizeof(int) + 64);
            var counts = scratch.Take<int>(values);
            XnorConvolution.Best.Compute(shape, image, OutputRange.Rows(shape, row, rows), input.Bits.Pointer, prepared, scratch, counts);
            reader.Take(((long)image * shape.OutHeight + row) * shape.OutWidth, pixels, counts, filters.Scale!.Pointer);
        });
    }

    /// <inheritdoc/>
    public (Tensor OfInput, Tensor OfShift) InputGradient(Tensor du, int shortcuts)
    {
        var map = new ConvolutionGeometry(shape, Transposed: true);
        var bands = new RowBands(shape.Batch, map.TargetHeight, BinaryWeightConvolution.RowsPerTask(map));
        var stride = BinaryWeightConvolution.TargetStride(map);
        var gradient = ChannelsLast.Empty(shape.Batch, shape.In, shape.Height, shape.Width);
        float* source = TensorMemory.Floats(du), target = TensorMemory.Floats(gradient);
        using var signs = filters.SignsByChannel();
        using var ofShift = new PartialSums(bands.Count, shape.In);
        TorchWorkers.Instance.Run(bands.Count, task =>
        {
            var (image, row, rows) = bands[task];
            var pixels = rows * shape.Width;
            var ofSigns = (long)pixels * stride;
            var scratch = Scratch.OfThread(BinaryWeightConvolution.ScratchBytes(map, rows) + ofSigns * sizeof(float) + 64);
            var signGradient = scratch.Take<float>(ofSigns);
            BinaryWeightConvolution.Best.Rows(map, image, row, rows, source, filters.Scale!.Pointer, signs.Pointer, scratch, signGradient);
            var first = ((long)image * shape.Height + row) * shape.Width;
            var maps = new SignGradientMaps
            {
                Pixels = pixels,
                Gradient = signGradient,
                GradientStride = stride,
                Result = target + first * shape.In,
                ShortcutGradient = source + first * shortcuts * shape.In,
                ShortcutRepeats = shortcuts,
            };
            input.Gradient(maps, first, ofShift.Of(task));
        });
        GC.KeepAlive(du);
        return (gradient, ofShift.Total(0, [1, shape.In, 1, 1]));
    }
}
