using NormFree.Inference.Layers;
using NormFree.Inference.Model;
using NormFree.Kernels.Packed;
using NormFree.Kernels.Real;
using NormFree.Kernels.Simd;

namespace NormFree.Inference.Plans;

/// <summary>Where a feature map is: channels-last in the arena, or planar in the caller's image.</summary>
/// <param name="Size">Its size.</param>
/// <param name="Region">Its memory in the arena; null for the caller's image.</param>
internal sealed record MapBuffer(MapSize Size, Region? Region)
{
    /// <summary>Number of pixels.</summary>
    public int Pixels => Size.Height * Size.Width;

    /// <summary>The first value of a map in the arena.</summary>
    public unsafe float* In(in Frame frame) => (float*)(frame.Maps + Region!.Value.Start);

    /// <summary>The map in either layout.</summary>
    public unsafe RealMap RealIn(in Frame frame) => Region is null
        ? RealMap.Planar(frame.Image, Size.Height, Size.Width)
        : RealMap.ChannelsLast(In(frame), Size.Height, Size.Width, Size.Channels);
}

/// <summary>Where the signs of a binary layer's input are.</summary>
/// <param name="Reader">The layer that reads them.</param>
/// <param name="Layout">Their layout.</param>
/// <param name="Region">Their memory in the arena, border included.</param>
internal sealed record SignBuffer(PreparedBinaryLayer Reader, SignLayout Layout, Region Region)
{
    /// <summary>The signs of a running image.</summary>
    public unsafe SignMap In(in Frame frame) => new(Layout, frame.Signs + Region.Start);
}

/// <summary>Writes the signs that the next layer reads. If that is not a binary layer, it writes nothing.</summary>
internal sealed class SignWriter
{
    private readonly SignBuffer? target;

    private SignWriter(ResidualEpilogue epilogue, SignBuffer? target) => (Epilogue, this.target) = (epilogue, target);

    /// <summary>The epilogue that writes signs in the encoding of the next layer.</summary>
    public ResidualEpilogue Epilogue { get; }

    /// <summary>The writer for <paramref name="target"/>; null if the next layer is not binary.</summary>
    public static SignWriter For(InstructionSet set, SignBuffer? target) =>
        new(ResidualEpilogue.For(set, target?.Layout.Encoding ?? SignEncoding.Words), target);

    /// <summary>The next layer's thresholds; null if there are no signs to write.</summary>
    public unsafe float* Threshold => target is null ? null : target.Reader.Threshold;

    /// <summary>The next layer's sign map.</summary>
    public SignMap Signs(in Frame frame) => target is null ? default : target.In(frame);

    /// <summary>Writes the signs of some pixels of a finished map.</summary>
    public unsafe void Pack(in Frame frame, MapBuffer map, int firstPixel, int pixels)
    {
        if (target is not null) Epilogue.Pack(firstPixel, pixels, map.In(frame), Threshold, target.In(frame));
    }
}
