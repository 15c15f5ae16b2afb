namespace NormFree.Data

open System
open System.IO
open System.Net
open System.Net.Http

/// <summary>A download: source, target and retries.</summary>
type DownloadRequest =
    {
        Remote: Remote
        /// Created if missing. The download is a .part file until it is complete and verified.
        Folder: string
        /// Retries after a broken connection or a server error.
        Retries: int
        /// The delay before the first retry. Doubles each time.
        Backoff: TimeSpan
        /// A connection without data for this long is broken.
        Timeout: TimeSpan
    }

/// <summary>Bytes received and expected.</summary>
type DownloadProgress = { Received: int64; Total: int64 }

/// Failed downloads, and which of them a retry may cure.
module internal DownloadFailure =

    /// A failed attempt.
    type Failure =
        /// A retry may succeed.
        | Transient of DataError
        | Permanent of DataError

    let path request = Path.Combine(request.Folder, request.Remote.FileName)
    let partPath request = path request + ".part"

    let alternatives request =
        $"Try again later, give a mirror, or download {request.Remote.Address} by other means into {request.Folder}"

    let error request problem remedy = DataError.create (string request.Remote.Address) problem remedy

    let transient request problem = Transient(error request problem (alternatives request))

    let maxRedirects = 10

    let isFollowed (source: Uri) (target: Uri) =
        target.Scheme = "https" || (target.Scheme = "http" && source.Scheme = "http")

    /// Redirects are followed to http and https, but not from https to http.
    let private unfollowed request (response: HttpResponseMessage) =
        let target = response.Headers.Location |> Option.ofObj
        let source = response.RequestMessage |> Option.ofObj |> Option.bind (_.RequestUri >> Option.ofObj)

        let reason =
            match source, target with
            | Some source, Some target when isFollowed source (Uri(source, target)) ->
                $"the server redirects more than {maxRedirects} times, the last time to {target}"
            | _, Some target -> $"the server redirects to {target}, which is not followed"
            | _, None -> "the server redirects to no address, which is not followed"

        error request reason (alternatives request)

    /// The failure that an error status means.
    let errorStatus request (response: HttpResponseMessage) =
        let status = int response.StatusCode
        let problem = error request $"the server answered {status} {response.ReasonPhrase}"

        if status >= 500 || status = 429 || status = 408 then
            Transient(problem (alternatives request))
        elif response.StatusCode = HttpStatusCode.NotFound then
            Permanent(problem $"Check the mirror's address: it must contain {request.Remote.FileName}")
        elif status >= 300 && status < 400 then
            Permanent(unfollowed request response)
        else
            Permanent(problem (alternatives request))

    let private broken request (problem: exn) = Some(transient request $"the connection broke: {problem.Message}")

    let unwritable request (problem: exn) =
        DataError.create request.Folder (problem.Message.TrimEnd '.') "Choose a writable folder"

    /// ERROR_DISK_FULL on Windows; ENOSPC and EDQUOT on Linux, where the code is the bare number.
    let private isDiskFull (problem: IOException) =
        problem.HResult = 0x80070070 || problem.HResult = 28 || problem.HResult = 122

    /// The failure that an exception of an attempt means. Other exceptions are bugs.
    let (|Expected|_|) request (problem: exn) =
        match problem with
        | :? HttpRequestException as problem when (problem.InnerException :? Sockets.SocketException) ->
            let remedy = $"Check the network. {alternatives request}"
            Some(Transient(error request $"no connection: {problem.Message}" remedy))
        | :? HttpRequestException
        | :? HttpIOException -> broken request problem
        // A reset during the body is not wrapped in an HttpRequestException.
        | :? IOException when (problem.InnerException :? Sockets.SocketException) -> broken request problem
        | :? OperationCanceledException ->
            Some(transient request $"no data arrived for {request.Timeout.TotalSeconds:g} seconds")
        | :? IOException as problem when isDiskFull problem ->
            let problem = $"the disk is full; {request.Remote.Bytes >>> 20} MiB are needed"

            Some(
                Permanent(
                    DataError.create request.Folder problem "Free some space and run it again: the partial file is kept"
                )
            )
        | :? IOException
        | :? UnauthorizedAccessException -> Some(Permanent(unwritable request problem))
        | _ -> None
