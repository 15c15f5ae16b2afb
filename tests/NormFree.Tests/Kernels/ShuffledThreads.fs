namespace NormFree.Tests.Kernels

open System
open System.Collections.Concurrent
open System.Threading
open NormFree.Data
open NormFree.Kernels.Threads

/// Runs tasks in a shuffled order on new threads, so that results that depend on the order or on the thread differ.
/// New threads have no scratch memory, so a kernel that requests too little of it fails.
type ShuffledThreads(threads: int, seed: int64) =

    interface IWorkers with
        member _.Run(count, task) =
            let stream = RandomStream.OfKeys seed
            let order = Array.init count id |> Array.sortBy (fun _ -> stream.Bits()) |> ConcurrentQueue
            let failures = ConcurrentQueue<exn>()

            let rec work () =
                match order.TryDequeue() with
                | true, number ->
                    try
                        task.Invoke number
                    with failure ->
                        failures.Enqueue failure

                    work ()
                | _ -> ()

            let running = Array.init threads (fun _ -> Thread work)

            for thread in running do
                thread.Start()

            for thread in running do
                thread.Join()

            if not failures.IsEmpty then
                raise (AggregateException failures)
