using System.Runtime.InteropServices;
using System.Text;

namespace NormFree.Distributed;

/// <summary>What ranks tell one another, made of sums.</summary>
public static class RankExtensions
{
    /// <summary>Begins to add up a few numbers over all ranks.</summary>
    /// <param name="ranks">All of them.</param>
    /// <param name="mine">This rank's, as many as every other rank has.</param>
    public static PendingValues BeginSum(this IRanks ranks, params double[] mine) => new(ranks, mine);

    /// <summary>Adds up a few numbers over all ranks.</summary>
    /// <inheritdoc cref="BeginSum"/>
    public static double[] Sum(this IRanks ranks, params double[] mine) => ranks.BeginSum(mine).Wait();

    /// <summary>Returns when all ranks have come here.</summary>
    /// <param name="ranks">All of them.</param>
    public static void Barrier(this IRanks ranks) => ranks.Sum(0);

    /// <summary>A text of every rank, in the order of ranks: for what is told seldom.</summary>
    /// <remarks>A byte travels as a double, in a place where all other ranks have 0: exact, and no further operation is needed of MPI.</remarks>
    /// <param name="ranks">All of them.</param>
    /// <param name="mine">This rank's, of any length.</param>
    public static string[] AllGather(this IRanks ranks, string mine)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(mine);
        var lengths = new double[ranks.Size];
        lengths[ranks.Rank] = bytes.Length;
        int[] length = [.. ranks.Sum(lengths).Select(value => (int)value)];

        var letters = new double[length.Sum()];
        var first = length.Take(ranks.Rank).Sum();
        for (var i = 0; i < bytes.Length; i++) letters[first + i] = bytes[i];
        byte[] all = [.. ranks.Sum(letters).Select(value => (byte)value)];

        var texts = new string[ranks.Size];
        var place = 0;
        for (var rank = 0; rank < texts.Length; place += length[rank++])
            texts[rank] = Encoding.UTF8.GetString(all, place, length[rank]);
        return texts;
    }
}

/// <summary>A few numbers that are added up over ranks.</summary>
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

    /// <summary>The sums, when they are there.</summary>
    public double[] Wait()
    {
        pending.Wait();
        GC.KeepAlive(values);
        return sums;
    }

    private static nint Address(double[] pinned) => Marshal.UnsafeAddrOfPinnedArrayElement(pinned, 0);
}
