namespace NormFree.Tests.Kernels

open System
open System.Collections.Concurrent
open System.Threading
open NormFree.Data
open NormFree.Kernels.Threads

/// Threads that live as long as one call and take the tasks in an order of their own: what depends on who does what, and when, comes to light.
type ShuffledThreads(threads: int, seed: int64) =

    /// Threads of their own start with no scratch memory, so that what a kernel announces must be enough.
    static member Alone(work: unit -> unit) = (ShuffledThreads(1, 0L) :> IWorkers).Run(1, (fun _ -> work ()))

    interface IWorkers with
        member _.Threads = threads

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
