namespace NormFree.Data

open System
open System.Collections.Generic
open System.Threading
open System.Threading.Channels
open System.Threading.Tasks

/// Worker threads that run jobs; results come in the order of the jobs, at most `prefetch` of them ahead of the reader.
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
                        // Also a bug's exception belongs to the reader; the thread must not end the process.
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

    /// The jobs' results. A job is handed out only when the reader has taken one, which is what bounds the memory.
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
        /// Returns once no thread of this pipeline runs.
        member _.Dispose() =
            stop.Cancel()
            todo.Writer.TryComplete() |> ignore

            for thread in threads do
                thread.Join()

            stop.Dispose()
