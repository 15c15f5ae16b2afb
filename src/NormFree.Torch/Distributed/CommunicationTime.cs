namespace NormFree.Torch.Distributed;

/// <summary>What sums of one step took.</summary>
/// <param name="Bytes">How much each rank gave.</param>
/// <param name="BusyMs">Milliseconds in which at least one sum was under way; waiting for slower ranks is part of it.</param>
/// <param name="ExposedMs">Those of them in which the step did nothing but wait.</param>
public readonly record struct CommunicationTime(long Bytes, double BusyMs, double ExposedMs)
{
    /// <summary>Share of the time that was hidden behind the backward pass, from 0 to 1; 0 where nothing was sent.</summary>
    public double Overlap => BusyMs > 0 ? Math.Clamp(1 - ExposedMs / BusyMs, 0, 1) : 0;

    /// <summary>Of sums that follow one another.</summary>
    public static CommunicationTime operator +(CommunicationTime a, CommunicationTime b) =>
        new(a.Bytes + b.Bytes, a.BusyMs + b.BusyMs, a.ExposedMs + b.ExposedMs);
}
