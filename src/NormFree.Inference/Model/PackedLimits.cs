namespace NormFree.Inference.Model;

/// <summary>The limits of a packed network. A file or model that exceeds one is rejected before anything is allocated for it.</summary>
/// <remarks>
/// They bound the time and memory that a small hostile file can take: seconds on one AVX2 core. Work and maps are those of one image of the size in use.
/// ReActNet-A at 224×224 pixels needs a hundredth of the work and of the memory, or less. docs/packed-format.md lists the limits.
/// </remarks>
public static class PackedLimits
{
    /// <summary>Channels of a map and weights of a binary filter: float32 represents every sum of that many signs exactly.</summary>
    public const int MaxChannels = 1 << 24;

    /// <summary>Weights of a real-valued filter. Kernels pad a layer to 32 filters, so that even one filter takes 128 MiB at most.</summary>
    public const int MaxRealFilterWeights = 1 << 20;

    /// <summary>Side of a kernel, a stride and a map, in pixels.</summary>
    public const int MaxSide = 1 << 16;

    /// <summary>Values of a feature map, padding included: 512 MiB as float32. Three maps exist at a time, and those that a sum reads later.</summary>
    public const int MaxMapValues = 1 << 27;

    /// <summary>Values of all maps that exist at a time because a later <see cref="PackedAdd"/> reads them.</summary>
    public const int MaxKeptValues = 1 << 27;

    /// <summary>Bytes of the memory into which the maps of an image are laid out, gaps included: eight maps of the largest size.</summary>
    public const long MaxArenaBytes = 8L * MaxMapValues * sizeof(float);

    /// <summary>Bytes of the sign maps of all binary layers, at one byte per channel and at least eight per pixel, padding included.</summary>
    public const double MaxSignBytes = 1 << 30;

    /// <summary>Layers of a network.</summary>
    public const int MaxLayers = 4096;

    /// <summary>Multiply-accumulates of all binary convolutions; input channels are rounded up to a multiple of 64, filters to one of 32.</summary>
    public const double MaxBinaryMacs = 5e11;

    /// <summary>
    /// Multiply-accumulates of all real convolutions, projections and the classifier; filters are rounded up to a multiple of 16. If there
    /// are several groups, the filters of each group are rounded up to a multiple of 64.
    /// </summary>
    public const double MaxRealMacs = 5e10;

    /// <summary>Values that all poolings, affine layers, sums and concatenations read; channels are rounded up to a multiple of 16.</summary>
    public const double MaxPoolTaps = 1e10;

    /// <summary>Preprocessing steps.</summary>
    public const int MaxPreprocessingSteps = 16;

    /// <summary>Pixels that all preprocessing steps of an image produce.</summary>
    public const int MaxPreprocessingPixels = 1 << 25;

    /// <summary>What to do about a network that exceeds a limit.</summary>
    internal const string Remedy = "Use a smaller network or smaller images; the section Limits of docs/packed-format.md has all limits";
}
