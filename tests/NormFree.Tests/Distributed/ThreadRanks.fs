/// Ranks as threads of one process: a simple replacement for MPI.
module NormFree.Tests.Distributed.ThreadRanks

open System
open System.Collections.Generic
open System.Diagnostics
open System.Threading
open System.Threading.Tasks
open Microsoft.FSharp.NativeInterop
open NormFree.Distributed

#nowarn "9"

/// One sum: every rank's values, and where each result goes.
type private Round(size: int) =
    let contributions = Array.create<(nativeint * nativeint * int * NumberType) option> size None
    let complete = new ManualResetEventSlim()
    let start = Stopwatch.GetTimestamp()
    let mutable ended = 0L

    let read (address: nativeint, count: int, number) : float[] =
        match number with
        | NumberType.Float32 ->
            Array.init count (fun i -> float (NativePtr.get (NativePtr.ofNativeInt<float32> address) i))
        | _ -> Array.init count (NativePtr.get (NativePtr.ofNativeInt<float> address))

    let write (values: float[]) (address: nativeint) number =
        values
        |> Array.iteri (fun i value ->
            match number with
            | NumberType.Float32 -> NativePtr.set (NativePtr.ofNativeInt<float32> address) i (float32 value)
            | _ -> NativePtr.set (NativePtr.ofNativeInt<float> address) i value)

    /// Adds in rank order; float32 results are rounded once.
    let add () =
        let all = contributions |> Array.map Option.get

        let sums =
            [| for values, _, count, number in all -> read (values, count, number) |]
            |> Array.reduce (Array.map2 (fun a b -> a + b))

        for _, target, _, number in all do
            write sums target number

    member _.Contribute(rank, values, sums, count, number) =
        lock contributions (fun () ->
            contributions[rank] <- Some(values, sums, count, number)

            if contributions |> Array.forall Option.isSome then
                add ()
                ended <- Stopwatch.GetTimestamp()
                complete.Set())

    interface IPendingSum with
        member _.Timestamps = struct (start, ended)
        member _.Wait() = complete.Wait()

type private Rank(size: int, rank: int, roundOf: int -> Round) =
    let mutable requested = 0

    interface IRanks with
        member _.Size = size
        member _.Rank = rank
        member _.NameOf(other: int) = $"rank {other} on thread"

        member _.BeginSum(values, sums, count, number) =
            let round = roundOf requested
            requested <- requested + 1
            round.Contribute(rank, values, sums, count, number)
            round

        member _.TryFinalBarrier(status, _: TimeSpan) = Array.replicate size status
        member _.Leave() = ()
        member _.Abort(_: int) = ()

/// Runs a function on every rank, each in its own thread, and returns the results in rank order.
let run size (work: IRanks -> 'a) : 'a list =
    let rounds = Dictionary<int, Round>()

    let roundOf number =
        lock rounds (fun () ->
            match rounds.TryGetValue number with
            | true, round -> round
            | _ ->
                let round = Round size
                rounds.Add(number, round)
                round)

    let tasks =
        [| for rank in 0 .. size - 1 ->
               Task.Factory.StartNew((fun () -> work (Rank(size, rank, roundOf))), TaskCreationOptions.LongRunning) |]

    try
        Task.WaitAll [| for task in tasks -> task :> Task |]
    with :? AggregateException as all ->
        raise all.InnerExceptions[0]

    [ for task in tasks -> task.Result ]
