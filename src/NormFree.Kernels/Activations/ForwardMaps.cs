namespace NormFree.Kernels.Activations;

/// <summary>What <see cref="ResidualActivation"/>'s forward pass reads and writes: counts with their scale, or a branch.</summary>
internal readonly unsafe struct ForwardMaps(
    int pixels, int* counts, float* scale, float* branch, float* shortcut, int shortcutChannels, float* sum, float* result)
{
    public readonly int Pixels = pixels;
    public readonly int* Counts = counts;
    public readonly float* Scale = scale;
    public readonly float* Branch = branch;
    public readonly float* Shortcut = shortcut;
    public readonly int ShortcutChannels = shortcutChannels;
    public readonly float* Sum = sum;
    public readonly float* Result = result;

    /// <summary>Some of the pixels, of maps with so many channels.</summary>
    public ForwardMaps Slice(int first, int pixels, int channels)
    {
        var offset = (nint)first * channels;
        return new ForwardMaps(
            pixels, Counts == null ? null : Counts + offset, Scale, Branch == null ? null : Branch + offset,
            Shortcut + (nint)first * ShortcutChannels, ShortcutChannels, Sum + offset, Result + offset);
    }
}
