using System.Runtime.InteropServices;
using System.Text;

namespace NormFree.Distributed;

/// <summary>Collective operations built from sums over ranks.</summary>
public static class RankExtensions
{
    /// <summary>Starts a sum of a few numbers over all ranks.</summary>
    /// <param name="ranks">The job.</param>
    /// <param name="mine">This rank's numbers; every rank passes the same number of them.</param>
    /// <returns>The sum in progress, of the length of <paramref name="mine"/>.</returns>
    /// <exception cref="DistributedException">MPI failed.</exception>
    public static PendingValues BeginSum(this IRanks ranks, params double[] mine) => new(ranks, mine);

    /// <summary>Sums a few numbers over all ranks.</summary>
    /// <param name="ranks">The job.</param>
    /// <param name="mine">This rank's numbers; every rank passes the same number of them.</param>
    /// <returns>The sums, of the length of <paramref name="mine"/>; the same bits on every rank.</returns>
    /// <exception cref="DistributedException">MPI failed.</exception>
    public static double[] Sum(this IRanks ranks, params double[] mine) => ranks.BeginSum(mine).Wait();

    /// <summary>Blocks until every rank has called it.</summary>
    /// <param name="ranks">The job.</param>
    /// <exception cref="DistributedException">MPI failed.</exception>
    public static void Barrier(this IRanks ranks) => ranks.Sum(0);

    /// <summary>Gathers one string from every rank, in rank order. Meant for small, rare messages.</summary>
    /// <remarks>Each byte is sent as a double at a position where all other ranks send 0, so that the sum is exact and no other MPI operation is needed.</remarks>
    /// <param name="ranks">The job.</param>
    /// <param name="mine">This rank's string, of any length.</param>
    /// <returns>One string per rank.</returns>
    /// <exception cref="DistributedException">MPI failed.</exception>
    public static string[] AllGather(this IRanks ranks, string mine)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(mine);
        var lengths = new double[ranks.Size];
        lengths[ranks.Rank] = bytes.Length;
        int[] length = [.. ranks.Sum(lengths).Select(value => (int)value)];

        var padded = new double[length.Sum()];
        var first = length.Take(ranks.Rank).Sum();
        for (var i = 0; i < bytes.Length; i++) padded[first + i] = bytes[i];
        byte[] all = [.. ranks.Sum(padded).Select(value => (byte)value)];

        var texts = new string[ranks.Size];
        var offset = 0;
        for (var rank = 0; rank < texts.Length; offset += length[rank++])
            texts[rank] = Encoding.UTF8.GetString(all, offset, length[rank]);
        return texts;
    }
}

/// <summary>A sum of a few numbers over ranks in progress.</summary>
public sealed class PendingValues
{
    private readonly double[] values;
    private readonly double[] sums;
    private readonly IPendingSum pending;

    internal PendingValues(IRanks ranks, ReadOnlySpan<double> mine)
    {
        values = GC.AllocateUninitializedArray<double>(mine.Length, pinned: true);
        sums = GC.AllocateUninitializedArray<double>(mine.Length, pinned: true);
        mine.CopyTo(values);
        pending = ranks.BeginSum(Address(values), Address(sums), mine.Length, NumberType.Float64);
    }

    /// <summary>Blocks until the sums are available, and returns them.</summary>
    /// <exception cref="DistributedException">MPI failed.</exception>
    public double[] Wait()
    {
        pending.Wait();
        GC.KeepAlive(values);
        return sums;
    }

    private static nint Address(double[] pinned) => Marshal.UnsafeAddrOfPinnedArrayElement(pinned, 0);
}
