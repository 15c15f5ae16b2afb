namespace NormFree.Data

open System
open System.IO
open System.Net
open System.Net.Http
open System.Net.Http.Headers
open System.Security.Cryptography
open System.Threading
open System.Threading.Tasks

/// <summary>A file to fetch, and how to know that it is the right one.</summary>
type Remote =
    {
        /// The name of the file, and of what is added to a mirror's base address.
        FileName: string
        Address: Uri
        /// Lower-case hexadecimal: the sum that the publisher gives. It guards against accidents, not against forgers.
        Md5: string
        Bytes: int64
    }

/// <summary>What to fetch, to where.</summary>
type DownloadRequest =
    {
        Remote: Remote
        /// Created if need be. The file appears in it when it is whole; until then there is a .part file.
        Folder: string
        /// How often a broken connection or a server's failure is tried again.
        Retries: int
        /// Before the first new try; doubles each time.
        Backoff: TimeSpan
        /// Without a byte for so long, a connection counts as broken.
        Patience: TimeSpan
    }

/// <summary>How far a download is.</summary>
type DownloadProgress = { Received: int64; Total: int64 }

/// <summary>Fetches data sets from their publishers.</summary>
/// <example><code>
/// let request = Download.request Download.cifar10 "data"
/// let! result = Download.fetch request (fun p -> printf $"\r{p.Received}/{p.Total}") CancellationToken.None
/// </code></example>
module Download =
    let private toronto fileName md5 bytes =
        { FileName = fileName
          Address = Uri $"https://www.cs.toronto.edu/~kriz/{fileName}"
          Md5 = md5
          Bytes = bytes }

    /// CIFAR-10, binary version.
    let cifar10 = toronto "cifar-10-binary.tar.gz" "c32a1d4ab5d03f1284b67883e8d87530" 170052171L

    /// CIFAR-100, binary version.
    let cifar100 = toronto "cifar-100-binary.tar.gz" "03b5dce01913d631647c71ecec9e9cb8" 168513733L

    /// The file by the name that `normfree data get` takes.
    let tryFind name =
        match name with
        | "cifar10" -> Some cifar10
        | "cifar100" -> Some cifar100
        | _ -> None

    /// The file on another server: the file's name is added to the mirror's address.
    let fromMirror (mirror: Uri) remote =
        let folder =
            if mirror.AbsoluteUri.EndsWith '/' then
                mirror
            else
                Uri(mirror.AbsoluteUri + "/")

        { remote with Address = Uri(folder, remote.FileName) }

    /// Four new tries, from 1 second apart.
    let request remote folder =
        { Remote = remote
          Folder = folder
          Retries = 4
          Backoff = TimeSpan.FromSeconds 1.0
          Patience = TimeSpan.FromSeconds 60.0 }

    /// Why a try failed, and whether another may do better.
    type private Failure =
        | Passing of DataError
        | Final of DataError

    let private path request = Path.Combine(request.Folder, request.Remote.FileName)
    let private partPath request = path request + ".part"

    let private byHand request =
        $"Try again later, name a mirror, or fetch {request.Remote.Address} by other means into {request.Folder}"

    let private error request problem remedy = DataError.create (string request.Remote.Address) problem remedy

    /// The result of a try that another one may mend.
    let private passing request problem = Error(Passing(error request problem (byHand request)))

    let private md5 (file: string) cancellation =
        task {
            use stream = File.OpenRead file
            let! sum = MD5.HashDataAsync(stream, cancellation)
            return Convert.ToHexStringLower sum
        }

    /// The whole file's size and sum; a bad part is of no use to a later try.
    let private verify request cancellation =
        task {
            let part = partPath request
            let length = FileInfo(part).Length

            if length < request.Remote.Bytes then
                return passing request $"the connection ended after {length} of {request.Remote.Bytes} bytes"
            else
                let! sum = md5 part cancellation

                if length = request.Remote.Bytes && sum = request.Remote.Md5 then
                    return Ok()
                else
                    File.Delete part

                    let problem =
                        $"{length} bytes with MD5 {sum} came, where {request.Remote.Bytes} bytes with MD5 \
                          {request.Remote.Md5} are expected"

                    return Error(Final(error request problem $"The bad part was deleted. {byHand request}"))
        }

    /// Copies until the end or the expected size, whichever comes first; more bytes than that are never stored but one.
    let private copy request (source: Stream) (target: Stream) start progress (cancellation: CancellationToken) =
        task {
            let buffer = Array.zeroCreate<byte> 131072
            use patience = CancellationTokenSource.CreateLinkedTokenSource cancellation
            let mutable received = start
            let mutable got = 1

            while got > 0 && received <= request.Remote.Bytes do
                patience.CancelAfter request.Patience
                let! count = source.ReadAsync(buffer.AsMemory(), patience.Token)
                do! target.WriteAsync(ReadOnlyMemory(buffer, 0, count), cancellation)
                received <- received + int64 count
                got <- count
                progress { Received = received; Total = request.Remote.Bytes }
        }

    /// Where to go on: after the part that is there, unless it is too long to be one.
    let private resumeAt request =
        let part = FileInfo(partPath request)

        if not part.Exists then
            0L
        elif part.Length > request.Remote.Bytes then
            part.Delete()
            0L
        else
            part.Length

    let private send (client: HttpClient) request start (cancellation: CancellationToken) =
        let message = new HttpRequestMessage(HttpMethod.Get, request.Remote.Address)

        if start > 0L then
            message.Headers.Range <- RangeHeaderValue(Nullable start, Nullable())

        client.SendAsync(message, HttpCompletionOption.ResponseHeadersRead, cancellation)

    /// Some refusals pass (a busy server), most do not.
    let private refusal request (response: HttpResponseMessage) =
        let problem = error request $"the server answered {int response.StatusCode} {response.ReasonPhrase}"
        let status = int response.StatusCode

        if status >= 500 || status = 429 || status = 408 then
            Passing(problem (byHand request))
        elif response.StatusCode = HttpStatusCode.NotFound then
            Final(problem $"Check the mirror's address: it must hold {request.Remote.FileName}")
        else
            Final(problem (byHand request))

    /// Stores what a successful response carries; a server that ignores the range sends the file from its beginning.
    let private store request start (response: HttpResponseMessage) progress cancellation =
        task {
            let range = response.Content.Headers.ContentRange |> Option.ofObj

            let resumes =
                response.StatusCode = HttpStatusCode.PartialContent
                && range |> Option.exists (fun range -> range.From = Nullable start)

            if response.StatusCode = HttpStatusCode.PartialContent && not resumes then
                File.Delete(partPath request)
                return passing request "the server sent another part than was asked for"
            else
                let mode = if resumes then FileMode.Append else FileMode.Create
                use! source = response.Content.ReadAsStreamAsync(cancellation: CancellationToken)
                use target = new FileStream(partPath request, mode, FileAccess.Write, FileShare.Read)
                do! copy request source target (if resumes then start else 0L) progress cancellation
                return Ok()
        }

    /// One try: the missing bytes, then the check.
    let private attempt client request progress cancellation =
        task {
            let start = resumeAt request

            if start = request.Remote.Bytes then
                return! verify request cancellation
            else
                use! response = send client request start cancellation

                if response.StatusCode = HttpStatusCode.RequestedRangeNotSatisfiable then
                    // The part does not fit to what the server has: begin anew.
                    File.Delete(partPath request)
                    return passing request "the server does not hold the rest of the partial file"
                elif not response.IsSuccessStatusCode then
                    return Error(refusal request response)
                else
                    let! stored = store request start response progress cancellation

                    match stored with
                    | Error failure -> return Error failure
                    | Ok() -> return! verify request cancellation
        }

    let private broken request (problem: exn) =
        Some(Passing(error request $"the connection broke: {problem.Message}" (byHand request)))

    let private unwritable request (problem: exn) =
        DataError.create request.Folder (problem.Message.TrimEnd '.') "Choose a folder that can be written to"

    /// ERROR_DISK_FULL on Windows; ENOSPC and EDQUOT on Linux, where the code is the bare number.
    let private isDiskFull (problem: IOException) =
        problem.HResult = 0x80070070 || problem.HResult = 28 || problem.HResult = 122

    /// The failure that an exception of a try means; a bug's exception means none.
    let private (|Expected|_|) request (problem: exn) =
        match problem with
        | :? HttpRequestException as problem when (problem.InnerException :? Sockets.SocketException) ->
            Some(Passing(error request $"no connection: {problem.Message}" $"Check the network. {byHand request}"))
        | :? HttpRequestException
        | :? HttpIOException -> broken request problem
        // A connection that is reset within a file comes as it is.
        | :? IOException when (problem.InnerException :? Sockets.SocketException) -> broken request problem
        | :? OperationCanceledException ->
            Some(Passing(error request $"no byte came for {request.Patience.TotalSeconds:g} seconds" (byHand request)))
        | :? IOException as problem when isDiskFull problem ->
            let problem = $"the disk is full; {request.Remote.Bytes >>> 20} MiB are needed"
            Some(Final(DataError.create request.Folder problem "Make room and call again: the part is kept"))
        | :? IOException
        | :? UnauthorizedAccessException -> Some(Final(unwritable request problem))
        | _ -> None

    /// A try whose expected exceptions have become failures; cancelling is not one of them.
    let private guarded client request progress (cancellation: CancellationToken) =
        task {
            try
                return! attempt client request progress cancellation
            with Expected request failure when not cancellation.IsCancellationRequested ->
                return Error failure
        }

    let rec private persist client request tries progress (cancellation: CancellationToken) =
        task {
            let! result = guarded client request progress cancellation

            match result with
            | Error(Passing _) when tries < request.Retries ->
                do! Task.Delay(request.Backoff * Math.Pow(2.0, float tries), cancellation)
                return! persist client request (tries + 1) progress cancellation
            | Error(Passing error)
            | Error(Final error) -> return Error error
            | Ok() ->
                File.Move(partPath request, path request, true)
                return Ok(path request)
        }

    let private isThere request cancellation =
        task {
            if File.Exists(path request) && FileInfo(path request).Length = request.Remote.Bytes then
                let! sum = md5 (path request) cancellation
                return sum = request.Remote.Md5
            else
                return false
        }

    /// <summary>Fetches a file and gives its path; one that is there already and right is not fetched again.</summary>
    /// <remarks>
    /// A .part file of an earlier call is resumed. The file appears under its name only when its size and sum are
    /// right. Two calls for one folder at once are not supported.
    /// </remarks>
    /// <exception cref="T:System.OperationCanceledException">The call was cancelled; the part is kept.</exception>
    let fetch
        request
        (progress: DownloadProgress -> unit)
        (cancellation: CancellationToken)
        : Task<Result<string, DataError>> =
        task {
            try
                Directory.CreateDirectory request.Folder |> ignore
                let! there = isThere request cancellation

                if there then
                    return Ok(path request)
                elif not (request.Remote.Address.Scheme.StartsWith "http") then
                    return
                        Error(error request "it is no web address" "Give a mirror that begins with http:// or https://")
                else
                    // This limits the wait for the headers. The body takes as long as it takes: each read has its own
                    // patience.
                    use client = new HttpClient(Timeout = request.Patience)
                    return! persist client request 0 progress cancellation
            with
            | :? IOException
            | :? UnauthorizedAccessException as problem -> return Error(unwritable request problem)
        }
