/// Ranks that are threads of one process: what MPI does, done plainly.
module NormFree.Tests.Distributed.ThreadRanks

open System
open System.Collections.Generic
open System.Diagnostics
open System.Threading
open System.Threading.Tasks
open Microsoft.FSharp.NativeInterop
open NormFree.Distributed

#nowarn "9"

/// One sum: what every rank has given, and where its result goes.
type private Round(size: int) =
    let given = Array.create<(nativeint * nativeint * int * NumberType) option> size None
    let complete = new ManualResetEventSlim()
    let begin' = Stopwatch.GetTimestamp()
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

    /// In the order of ranks, rounded as floats are where they are floats.
    let add () =
        let all = given |> Array.map Option.get

        let sums =
            [| for values, _, count, number in all -> read (values, count, number) |]
            |> Array.reduce (Array.map2 (fun a b -> a + b))

        for _, target, _, number in all do
            write sums target number

    member _.Give(rank, values, sums, count, number) =
        lock given (fun () ->
            given[rank] <- Some(values, sums, count, number)

            if given |> Array.forall Option.isSome then
                add ()
                ended <- Stopwatch.GetTimestamp()
                complete.Set())

    interface IPendingSum with
        member _.Timestamps = struct (begin', ended)
        member _.Wait() = complete.Wait()

type private Rank(size: int, rank: int, roundOf: int -> Round) =
    let mutable asked = 0

    interface IRanks with
        member _.Size = size
        member _.Rank = rank
        member _.NameOf(other: int) = $"rank {other} on thread"

        member _.BeginSum(values, sums, count, number) =
            let round = roundOf asked
            asked <- asked + 1
            round.Give(rank, values, sums, count, number)
            round

        member _.TryFinalBarrier(word, _: TimeSpan) = Array.replicate size word
        member _.Leave() = ()
        member _.Abort(_: int) = ()

/// Runs a function as so many ranks, each on a thread of its own; their results, in the order of ranks.
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
