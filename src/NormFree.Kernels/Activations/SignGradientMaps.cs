namespace NormFree.Kernels.Activations;

/// <summary>What <see cref="SignGradient"/> reads and writes.</summary>
public unsafe struct SignGradientMaps
{
    /// <summary>How many pixels.</summary>
    public int Pixels;

    /// <summary>How many channels.</summary>
    public int Channels;

    /// <summary>x, pixels × channels.</summary>
    public float* Input;

    /// <summary>ds, pixels × <see cref="GradientStride"/>.</summary>
    public float* Gradient;

    /// <summary>Floats from one pixel of ds to the next: at least the channels.</summary>
    public int GradientStride;

    /// <summary>The gradient that reaches x through a shortcut: pixels × <see cref="Shortcuts"/>·channels. Not read where there is none.</summary>
    public float* Shortcut;

    /// <summary>How often x is in the shortcut, one copy behind the other; 0 where it is not.</summary>
    public int Shortcuts;

    /// <summary>dx, pixels × channels.</summary>
    public float* Result;

    /// <summary>Some of the pixels.</summary>
    internal readonly SignGradientMaps Slice(int first, int pixels)
    {
        var slice = this;
        slice.Pixels = pixels;
        slice.Input += (nint)first * Channels;
        slice.Gradient += (nint)first * GradientStride;
        slice.Shortcut += (nint)first * Channels * Shortcuts;
        slice.Result += (nint)first * Channels;
        return slice;
    }
}
