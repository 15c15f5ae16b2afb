using NormFree.Kernels.Packed;
using NormFree.Kernels.Simd;

namespace NormFree.Inference.Plans;

/// <summary>Writes the next layer's signs, where that is a binary one.</summary>
/// <param name="Epilogue">In the encoding that the next layer reads.</param>
/// <param name="Target">Where they go; null where nothing has to be written.</param>
internal sealed record SignWriter(ResidualEpilogue Epilogue, SignPlace? Target)
{
    /// <summary>The writer for what follows.</summary>
    public static SignWriter For(InstructionSet set, SignPlace? next) =>
        new(ResidualEpilogue.For(set, next?.Layout.Encoding ?? SignEncoding.Words), next);

    /// <summary>The next layer's threshold; null where nothing has to be written.</summary>
    public unsafe float* Threshold => Target is null ? null : Target.Reader.Threshold;

    /// <summary>The next layer's signs.</summary>
    public SignMap Signs(in Frame frame) => Target is null ? default : Target.In(frame);

    /// <summary>Writes the signs of some pixels of a finished map.</summary>
    public unsafe void Pack(in Frame frame, MapPlace map, int firstPixel, int pixels)
    {
        if (Target is not null) Epilogue.Pack(firstPixel, pixels, map.In(frame), Threshold, Target.In(frame));
    }
}
