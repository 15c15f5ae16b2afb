namespace NormFree.Benchmarks

open System
open System.Diagnostics
open System.Numerics
open System.Runtime.InteropServices
open NormFree.Distributed
open NormFree.Networks
open NormFree.Runs

/// <summary>The network between nodes, as all-reduce sees it.</summary>
type NetworkLink =
    {
        /// Gbit/s in each direction of a node.
        BandwidthGbit: float
        /// Microseconds per message of any length.
        LatencyUs: float
    }

/// <summary>The duration of an all-reduce over ranks.</summary>
/// <remarks>
/// Open MPI 4.1 uses a tree for 2 or 3 ranks and for less than 64 KB: all data goes up and down the tree. Otherwise it uses Rabenseifner's
/// algorithm: each rank sums a part (reduce-scatter), then parts are exchanged (all-gather). Ranks beyond a power of two send their values to
/// another rank first and receive the sums last.
/// </remarks>
[<RequireQualifiedAccess>]
module NetworkLink =

    let private smallest = 65536.0

    let private log2 ranks = float (BitOperations.Log2(uint ranks))

    let private isPower ranks = BitOperations.IsPow2(uint ranks)

    /// How many times the data crosses a node's link in one direction, and how many messages are sent in sequence.
    let private crossings ranks bytes =
        let extra = if isPower ranks then 0.0 else 1.0

        if ranks = 1 then
            0.0, 0.0
        elif ranks < 4 || bytes < smallest then
            let steps = 2.0 * (log2 ranks + extra)
            steps, steps
        else
            let pieces = 2.0 ** log2 ranks
            2.0 * (pieces - 1.0) / pieces + 2.0 * extra, 2.0 * (log2 ranks + extra)

    /// <summary>Milliseconds to sum this many bytes over the ranks.</summary>
    let milliseconds (link: NetworkLink) ranks (bytes: float) =
        let times, messages = crossings ranks bytes
        messages * link.LatencyUs / 1e3 + times * bytes * 8.0 / (link.BandwidthGbit * 1e6)

    let private repetitions = 9

    /// The median milliseconds of a sum of this many floats.
    let private timed (ranks: IRanks) (count: int) =
        let values, sums = GC.AllocateArray<float32>(count, true), GC.AllocateArray<float32>(count, true)
        let address (numbers: float32[]) = Marshal.UnsafeAddrOfPinnedArrayElement(numbers, 0)

        let found =
            [| for _ in 0..repetitions ->
                   ranks.Barrier()
                   let start = Stopwatch.GetTimestamp()
                   ranks.BeginSum(address values, address sums, count, NumberType.Float32).Wait()
                   Stopwatch.GetElapsedTime(start).TotalMilliseconds |]

        GC.KeepAlive(values, sums)
        // The first sum also connects the ranks.
        (Array.sort found[1..])[repetitions / 2]

    /// <summary>Measures the link between at least two otherwise idle ranks.</summary>
    let measure (ranks: IRanks) : NetworkLink =
        let count = 2 <<< 20
        let bytes = float (4 * count)
        let short, long = timed ranks 1, timed ranks count
        let _, shortMessages = crossings ranks.Size 4.0
        let times, messages = crossings ranks.Size bytes
        let latency = short / shortMessages

        { BandwidthGbit = times * bytes * 8.0 / (max 1e-3 (long - messages * latency) * 1e6)
          LatencyUs = 1e3 * latency }
