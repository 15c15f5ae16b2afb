namespace NormFree.Data

open System
open System.IO
open System.Net.Http
open System.Threading
open System.Threading.Tasks
open NormFree.Data.DownloadFailure

/// <summary>Downloads data sets from their publishers.</summary>
/// <example><code>
/// let request = Download.request RemoteDatasets.cifar10.Files.Head "data"
/// let! result = Download.run request (fun p -> printf $"\r{p.Received}/{p.Total}") CancellationToken.None
/// </code></example>
module Download =

    /// Four retries, the first after 1 second.
    let request remote folder =
        { Remote = remote
          Folder = folder
          Retries = 4
          Backoff = TimeSpan.FromSeconds 1.0
          Timeout = TimeSpan.FromSeconds 60.0 }

    /// An attempt with expected exceptions as failures. Cancellation remains an exception.
    let private guarded client request progress (cancellation: CancellationToken) =
        task {
            try
                return! DownloadAttempt.run client request progress cancellation
            with Expected request failure when not cancellation.IsCancellationRequested ->
                return Error failure
        }

    let rec private retry client request attempts progress (cancellation: CancellationToken) =
        task {
            let! result = guarded client request progress cancellation

            match result with
            | Error(Transient _) when attempts < request.Retries ->
                do! Task.Delay(request.Backoff * Math.Pow(2.0, float attempts), cancellation)
                return! retry client request (attempts + 1) progress cancellation
            | Error(Transient error)
            | Error(Permanent error) -> return Error error
            | Ok() ->
                File.Move(partPath request, path request, true)
                return Ok(path request)
        }

    let private isComplete request cancellation =
        task {
            if File.Exists(path request) && FileInfo(path request).Length = request.Remote.Bytes then
                let! sum = DownloadAttempt.md5 (path request) cancellation
                return sum = request.Remote.Md5
            else
                return false
        }

    /// Tries the address, then each mirror. The error is that of the first one.
    let rec private fromAny client request progress cancellation =
        task {
            let! result = retry client request 0 progress cancellation

            match result, request.Remote.Mirrors with
            | Error first, mirror :: others ->
                let next = { request.Remote with Address = mirror; Mirrors = others }
                let! second = fromAny client { request with Remote = next } progress cancellation

                match second with
                | Ok path -> return Ok path
                | Error _ -> return Error first
            | _ -> return result
        }

    /// <summary>Downloads a file and returns its path. A complete and correct file is not downloaded again.</summary>
    /// <remarks>
    /// Resumes the .part file of an earlier call. The file gets its name after its size and checksum are verified. Concurrent calls for one folder are
    /// not supported.
    /// </remarks>
    /// <exception cref="T:System.OperationCanceledException">The call was cancelled. The .part file is kept.</exception>
    let run
        request
        (progress: DownloadProgress -> unit)
        (cancellation: CancellationToken)
        : Task<Result<string, DataError>> =
        task {
            try
                Directory.CreateDirectory request.Folder |> ignore
                let! complete = isComplete request cancellation

                if complete then
                    return Ok(path request)
                elif not (request.Remote.Address.Scheme.StartsWith "http") then
                    return
                        Error(
                            error request "it is not a web address" "Give a mirror that starts with http:// or https://"
                        )
                else
                    // This limits the wait for the headers. Each read of the body has its own timeout.
                    use handler = new HttpClientHandler(AllowAutoRedirect = false)
                    use client = new HttpClient(handler, Timeout = request.Timeout)
                    return! fromAny client request progress cancellation
            with
            | :? IOException
            | :? UnauthorizedAccessException as problem -> return Error(unwritable request problem)
        }
