using NormFree.Kernels.Bits;
using NormFree.Kernels.Threads;

namespace NormFree.Kernels.Filters;

/// <summary>
/// Transposes the packed signs of a filter bank into the two orders that lookup-table kernels read. Their table indices are four signs of neighbouring
/// filters, or of neighbouring channels.
/// </summary>
/// <remarks>
/// Reads and writes N/8 bytes, little compared with the passes over the weights.
/// </remarks>
public static unsafe class SignTranspose
{
    /// <summary>Signs by channel: bit j of word (t, k, c) is the sign of filter 32·k + j at tap t and channel c.</summary>
    /// <param name="bank">Sizes.</param>
    /// <param name="signs">From <see cref="FilterKernels.BinaryForward"/>.</param>
    /// <param name="target">
    /// Output: <c>uint[taps][⌈O/32⌉][I']</c>, <see cref="FilterBank.SignsByChannel"/> values. Bits and words past the last filter and channel are 0.
    /// </param>
    /// <param name="workers">Threads; one task per 32 filters.</param>
    public static void ByChannel(FilterBank bank, ulong* signs, uint* target, IWorkers workers)
    {
        var (row, groups) = (bank.Taps * bank.Words, (bank.Out + 31) / 32);
        bank.SignWorkers(workers).Run(groups, group =>
        {
            var rows = stackalloc ulong*[32];
            for (var j = 0; j < 32; j++) rows[j] = group * 32 + j < bank.Out ? signs + (group * 32L + j) * row : null;
            for (var column = 0; column < row; column++)
            {
                var (tap, word) = Math.DivRem(column, bank.Words);
                BitTranspose.Transpose(rows, column, 64, target + ((long)tap * groups + group) * bank.PaddedIn + word * 64);
            }
        });
    }

    /// <summary>Signs by filter: bit j of word (t, k, o) is the sign of filter o at tap t and channel 32·k + j.</summary>
    /// <param name="bank">Sizes.</param>
    /// <param name="signs">From <see cref="FilterKernels.BinaryForward"/>.</param>
    /// <param name="target">
    /// Output: <c>uint[taps][⌈I/32⌉][O']</c>, <see cref="FilterBank.SignsByFilter"/> values. Bits and words past the last channel and filter are 0.
    /// </param>
    /// <param name="workers">Threads; one task per 64 filters.</param>
    public static void ByFilter(FilterBank bank, ulong* signs, uint* target, IWorkers workers)
    {
        var (row, groups) = (bank.Taps * bank.Words, (bank.In + 31) / 32);
        bank.SignWorkers(workers).Run(bank.PaddedOut / 64, part =>
        {
            var filters = Math.Min(64, bank.Out - part * 64);
            for (var tap = 0; tap < bank.Taps; tap++)
            {
                for (var group = 0; group < groups; group++)
                {
                    var source = signs + (long)part * 64 * row + tap * bank.Words + group / 2;
                    var to = target + ((long)tap * groups + group) * bank.PaddedOut + part * 64;
                    var shift = group % 2 * 32;
                    for (var o = 0; o < 64; o++) to[o] = o < filters ? (uint)(source[(long)o * row] >> shift) : 0;
                }
            }
        });
    }
}
