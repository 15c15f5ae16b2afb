using System.Runtime.InteropServices;

namespace NormFree.Distributed;

/// <summary>A few numbers that are added up over ranks.</summary>
public sealed class PendingNumbers
{
    private readonly double[] values;
    private readonly double[] sums;
    private readonly IPendingSum pending;

    internal PendingNumbers(IRanks ranks, ReadOnlySpan<double> mine)
    {
        values = GC.AllocateUninitializedArray<double>(mine.Length, pinned: true);
        sums = GC.AllocateUninitializedArray<double>(mine.Length, pinned: true);
        mine.CopyTo(values);
        pending = ranks.BeginSum(Address(values), Address(sums), mine.Length, NumberType.Float64);
    }

    /// <summary>The sums, when they are there.</summary>
    public double[] Wait()
    {
        pending.Wait();
        GC.KeepAlive(values);
        return sums;
    }

    private static nint Address(double[] pinned) => Marshal.UnsafeAddrOfPinnedArrayElement(pinned, 0);
}
