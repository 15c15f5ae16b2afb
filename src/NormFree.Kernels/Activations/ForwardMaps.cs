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
}
