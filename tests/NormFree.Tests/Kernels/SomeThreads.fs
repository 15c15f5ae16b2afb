namespace NormFree.Tests.Kernels

open System.Threading
open System.Threading.Tasks
open NormFree.Kernels.Threads

/// So many threads, which take tasks from the last one on.
type SomeThreads(threads: int) =
    interface IWorkers with
        member _.Threads = threads

        member _.Run(count, task) =
            let mutable next = count

            let work () =
                let rec take () =
                    let mine = Interlocked.Decrement &next

                    if mine >= 0 then
                        task.Invoke mine
                        take ()

                take ()

            [| for _ in 1..threads -> Task.Factory.StartNew(work, TaskCreationOptions.LongRunning) |]
            |> Task.WaitAll
