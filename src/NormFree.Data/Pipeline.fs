namespace NormFree.Data

open System
open System.Collections.Generic
open System.Threading
open System.Threading.Channels
open System.Threading.Tasks

/// Worker threads that run jobs. Results come in job order, at most `prefetch` ahead of the reader.
type internal Pipeline<'job, 'result>(workers, prefetch, run: CancellationToken -> 'job -> 'result, cancellation) =
    let stop = CancellationTokenSource.CreateLinkedTokenSource [| cancellation |]
    let todo = Channel.CreateUnbounded<'job * TaskCompletionSource<'result>>()

    let work () =
        let rec loop () =
            if todo.Reader.WaitToReadAsync(stop.Token).AsTask().GetAwaiter().GetResult() then
                match todo.Reader.TryRead() with
                | true, (job, result) ->
                    try
                        result.SetResult(run stop.Token job)
                    with error ->
                        // Rethrown in the reader: an exception in a worker would end the process.
                        result.SetException error
                | _ -> ()

                loop ()

        try
            loop ()
        with :? OperationCanceledException ->
            ()

    let threads =
        [ for i in 1..workers ->
              let thread = Thread(work, IsBackground = true, Name = $"nf-loader-{i}")
              thread.Start()
              thread ]

    /// The jobs' results. A job starts only when the reader has taken a result, which bounds the memory.
    member _.Run(jobs: 'job seq) =
        seq {
            let waiting = Queue<Task<'result>>()
            use jobs = jobs.GetEnumerator()

            let fill () =
                while waiting.Count < prefetch && jobs.MoveNext() do
                    let result = TaskCompletionSource<'result>(TaskCreationOptions.RunContinuationsAsynchronously)
                    todo.Writer.TryWrite((jobs.Current, result)) |> ignore
                    waiting.Enqueue result.Task

            fill ()

            while waiting.Count > 0 do
                let result = waiting.Dequeue()
                let value = result.WaitAsync(stop.Token).GetAwaiter().GetResult()
                fill ()
                yield value
        }

    interface IDisposable with
        /// Returns when all threads of this pipeline have ended.
        member _.Dispose() =
            stop.Cancel()
            todo.Writer.TryComplete() |> ignore

            for thread in threads do
                thread.Join()

            stop.Dispose()
