using NormFree.Kernels.Packed;
using NormFree.Kernels.Simd;

namespace NormFree.Inference.Plans;

/// <summary>Writes the next layer's signs, where that is a binary one.</summary>
internal sealed class SignWriter
{
    private readonly SignPlace? target;

    private SignWriter(ResidualEpilogue epilogue, SignPlace? target) => (Epilogue, this.target) = (epilogue, target);

    /// <summary>In the encoding that the next layer reads.</summary>
    public ResidualEpilogue Epilogue { get; }

    /// <summary>The writer for what follows.</summary>
    public static SignWriter For(InstructionSet set, SignPlace? next) =>
        new(ResidualEpilogue.For(set, next?.Layout.Encoding ?? SignEncoding.Words), next);

    /// <summary>The next layer's threshold; null where nothing has to be written.</summary>
    public unsafe float* Threshold => target is null ? null : target.Reader.Threshold;

    /// <summary>The next layer's signs.</summary>
    public SignMap Signs(in Frame frame) => target is null ? default : target.In(frame);

    /// <summary>Writes the signs of some pixels of a finished map.</summary>
    public unsafe void Pack(in Frame frame, MapPlace map, int firstPixel, int pixels)
    {
        if (target is not null) Epilogue.Pack(firstPixel, pixels, map.In(frame), Threshold, target.In(frame));
    }
}
