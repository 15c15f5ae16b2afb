namespace NormFree.Kernels.Filters;

/// <summary>In which order the values of a filter lie in memory.</summary>
public enum FilterOrder
{
    /// <summary>Tap by tap, all channels of a tap side by side: O×taps×I, the order of channels-last maps.</summary>
    ChannelsLast,

    /// <summary>Channel by channel, all taps of a channel side by side: O×I×taps, the order of libtorch's contiguous weights.</summary>
    TapsLast,
}
