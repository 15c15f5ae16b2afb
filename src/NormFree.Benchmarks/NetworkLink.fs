namespace NormFree.Benchmarks

open System
open System.Diagnostics
open System.Numerics
open System.Runtime.InteropServices
open NormFree.Distributed
open NormFree.Networks
open NormFree.Runs

/// <summary>What connects nodes, as a sum over ranks sees it.</summary>
type NetworkLink =
    {
        /// Gbit a second, in each direction of a node.
        BandwidthGbit: float
        /// Microseconds of one message, however short.
        LatencyUs: float
    }

/// <summary>How long a sum over ranks takes.</summary>
/// <remarks>
/// Open MPI 4.1 adds up by a tree where there are 2 or 3 ranks or less than 64 KB: everything goes up it and comes down again. Otherwise by
/// Rabenseifner's algorithm: each rank adds up a piece of everything, and pieces are exchanged; of ranks beyond a power of two each gives its
/// values to another one first, and gets the sums from it last.
/// </remarks>
[<RequireQualifiedAccess>]
module NetworkLink =

    let private smallest = 65536.0

    let private log2 ranks = float (BitOperations.Log2(uint ranks))

    let private isPower ranks = BitOperations.IsPow2(uint ranks)

    /// How often a message's size crosses a node's link in one direction, one after the other, and how many messages follow one another.
    let private turns ranks bytes =
        let extra = if isPower ranks then 0.0 else 1.0

        if ranks = 1 then
            0.0, 0.0
        elif ranks < 4 || bytes < smallest then
            let steps = 2.0 * (log2 ranks + extra)
            steps, steps
        else
            let pieces = 2.0 ** log2 ranks
            2.0 * (pieces - 1.0) / pieces + 2.0 * extra, 2.0 * (log2 ranks + extra)

    /// <summary>Milliseconds of a sum of so many bytes over so many ranks.</summary>
    let milliseconds (wire: NetworkLink) ranks (bytes: float) =
        let crossings, messages = turns ranks bytes
        messages * wire.LatencyUs / 1e3 + crossings * bytes * 8.0 / (wire.BandwidthGbit * 1e6)

    let private times = 9

    /// The median milliseconds of a sum of so many floats.
    let private timed (ranks: IRanks) (count: int) =
        let values, sums = GC.AllocateArray<float32>(count, true), GC.AllocateArray<float32>(count, true)
        let address (numbers: float32[]) = Marshal.UnsafeAddrOfPinnedArrayElement(numbers, 0)

        let found =
            [| for _ in 0..times ->
                   ranks.Barrier()
                   let start = Stopwatch.GetTimestamp()
                   ranks.BeginSum(address values, address sums, count, NumberType.Float32).Wait()
                   Stopwatch.GetElapsedTime(start).TotalMilliseconds |]

        GC.KeepAlive(values, sums)
        // The first one also connects the ranks.
        (Array.sort found[1..])[times / 2]

    /// <summary>Measures the wire between ranks, of which there are several, while they do nothing else.</summary>
    let measure (ranks: IRanks) : NetworkLink =
        let count = 2 <<< 20
        let bytes = float (4 * count)
        let brief, long = timed ranks 1, timed ranks count
        let _, briefMessages = turns ranks.Size 4.0
        let crossings, messages = turns ranks.Size bytes
        let latency = brief / briefMessages

        { BandwidthGbit = crossings * bytes * 8.0 / (max 1e-3 (long - messages * latency) * 1e6)
          LatencyUs = 1e3 * latency }
