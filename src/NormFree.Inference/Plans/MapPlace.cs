using NormFree.Inference.Model;
using NormFree.Kernels.Real;

namespace NormFree.Inference.Plans;

/// <summary>Where a map lies: channels-last in the arena, or planar where it is the caller's image.</summary>
/// <param name="Size">Its size.</param>
/// <param name="Region">Its memory; none for an image.</param>
internal sealed record MapPlace(MapSize Size, Region? Region)
{
    /// <summary>Pixels of the map.</summary>
    public int Pixels => Size.Height * Size.Width;

    /// <summary>The first value of a map in the arena.</summary>
    public unsafe float* In(in Frame frame) => (float*)(frame.Maps + Region!.Value.Start);

    /// <summary>The map, wherever it lies.</summary>
    public unsafe RealMap RealIn(in Frame frame) => Region is null
        ? RealMap.Planar(frame.Image, Size.Height, Size.Width)
        : RealMap.ChannelsLast(In(frame), Size.Height, Size.Width, Size.Channels);
}
