namespace NormFree.Data

open System
open System.IO
open System.Net
open System.Net.Http
open System.Net.Http.Headers
open System.Security.Cryptography
open System.Threading
open System.Threading.Tasks

/// <summary>A file to download and its checksum.</summary>
type Remote =
    {
        /// The file's name, locally and on mirrors.
        FileName: string
        Address: Uri
        /// Addresses of the same file that are tried in turn if the first one fails.
        Mirrors: Uri list
        /// The publisher's checksum in lower-case hexadecimal. Detects transmission errors, not forgeries.
        Md5: string
        Bytes: int64
    }

/// <summary>A data set to download: its files, its licence, and the folder in which they are kept apart; empty for a single archive.</summary>
type RemoteDataset = { Name: string; Files: Remote list; Folder: string; Licence: string }

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

/// <summary>Downloads data sets from their publishers.</summary>
/// <example><code>
/// let request = Download.request Download.cifar10.Files.Head "data"
/// let! result = Download.run request (fun p -> printf $"\r{p.Received}/{p.Total}") CancellationToken.None
/// </code></example>
module Download =
    /// A file at the first of these folders, and on mirrors in the others.
    let private file (folders: string list) fileName md5 bytes =
        { FileName = fileName
          Address = Uri(folders.Head + fileName)
          Mirrors = [ for folder in folders.Tail -> Uri(folder + fileName) ]
          Md5 = md5
          Bytes = bytes }

    let private toronto = file [ "https://www.cs.toronto.edu/~kriz/" ]

    /// CIFAR-10, binary version.
    let cifar10 =
        { Name = "cifar10"
          Files = [ toronto "cifar-10-binary.tar.gz" "c32a1d4ab5d03f1284b67883e8d87530" 170052171L ]
          Folder = ""
          Licence = "its authors (Krizhevsky 2009) name no licence; they ask to cite the technical report" }

    /// CIFAR-100, binary version.
    let cifar100 =
        { cifar10 with
            Name = "cifar100"
            Files = [ toronto "cifar-100-binary.tar.gz" "03b5dce01913d631647c71ecec9e9cb8" 168513733L ] }

    let private mnistFile =
        file
            [ "https://ossci-datasets.s3.amazonaws.com/mnist/"
              "https://storage.googleapis.com/cvdf-datasets/mnist/" ]

    /// MNIST. Its original site has asked for passwords since 2024; these are mirrors of it.
    let mnist =
        { Name = "mnist"
          Files =
            [ mnistFile "train-images-idx3-ubyte.gz" "f68b3c2dcbeaaa9fbdd348bbdeb94873" 9912422L
              mnistFile "train-labels-idx1-ubyte.gz" "d53e105ee54ea40749a09fcbcd1e9432" 28881L
              mnistFile "t10k-images-idx3-ubyte.gz" "9fb629c4189551a2d022fa330f9573f3" 1648877L
              mnistFile "t10k-labels-idx1-ubyte.gz" "ec29112dd5afa0611ce80d1b7f02629c" 4542L ]
          Folder = "mnist"
          Licence = "CC BY-SA 3.0 (LeCun, Cortes and Burges)" }

    let private fashionFile =
        file
            [ "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
              "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/" ]

    /// Fashion-MNIST.
    let fashionMnist =
        { Name = "fashion-mnist"
          Files =
            [ fashionFile "train-images-idx3-ubyte.gz" "8d4fb7e6c68d591d4c3dfef9ec88bf0d" 26421880L
              fashionFile "train-labels-idx1-ubyte.gz" "25c81989df183df01b3e8a0aad5dffbe" 29515L
              fashionFile "t10k-images-idx3-ubyte.gz" "bef4ecab320f06d8554ea6380940ec79" 4422102L
              fashionFile "t10k-labels-idx1-ubyte.gz" "bb300cfdad3c16e7a12a480ee83cd310" 5148L ]
          Folder = "fashion-mnist"
          Licence = "MIT (Zalando SE)" }

    /// EMNIST with all its splits in one archive.
    let emnist =
        { Name = "emnist"
          Files =
            [ file
                  [ "https://biometrics.nist.gov/cs_links/EMNIST/" ]
                  "gzip.zip"
                  "58c8d27c78d21e728a6bc7b3cc06412e"
                  561753746L ]
          Folder = "emnist"
          Licence = "NIST names no licence; as a work of the US government it is free of copyright in the USA" }

    /// All of them. The synthetic data set is computed, and folders are the user's own.
    let all = [ cifar10; cifar100; mnist; fashionMnist; emnist ]

    /// The data set with this name in `normfree data get`.
    let tryFind name = all |> List.tryFind (fun dataset -> dataset.Name = name)

    /// The file on a mirror: the mirror's address plus the file's name.
    let fromMirror (mirror: Uri) remote =
        let folder =
            if mirror.AbsoluteUri.EndsWith '/' then
                mirror
            else
                Uri(mirror.AbsoluteUri + "/")

        { remote with Address = Uri(folder, remote.FileName); Mirrors = [] }

    /// Four retries, the first after 1 second.
    let request remote folder =
        { Remote = remote
          Folder = folder
          Retries = 4
          Backoff = TimeSpan.FromSeconds 1.0
          Timeout = TimeSpan.FromSeconds 60.0 }

    /// A failed attempt.
    type private Failure =
        /// A retry may succeed.
        | Transient of DataError
        | Permanent of DataError

    let private path request = Path.Combine(request.Folder, request.Remote.FileName)
    let private partPath request = path request + ".part"

    let private alternatives request =
        $"Try again later, give a mirror, or download {request.Remote.Address} by other means into {request.Folder}"

    let private error request problem remedy = DataError.create (string request.Remote.Address) problem remedy

    let private transient request problem = Transient(error request problem (alternatives request))

    let private md5 (file: string) cancellation =
        task {
            use stream = File.OpenRead file
            let! sum = MD5.HashDataAsync(stream, cancellation)
            return Convert.ToHexStringLower sum
        }

    /// Checks size and checksum. Deletes the file if they are wrong.
    let private verify request cancellation =
        task {
            let part = partPath request
            let length = FileInfo(part).Length

            if length < request.Remote.Bytes then
                let problem = $"the connection ended after {length} of {request.Remote.Bytes} bytes"
                return Error(transient request problem)
            else
                let! sum = md5 part cancellation

                if length = request.Remote.Bytes && sum = request.Remote.Md5 then
                    return Ok()
                else
                    File.Delete part

                    let problem =
                        $"received {length} bytes with MD5 {sum} instead of {request.Remote.Bytes} bytes with MD5 {request.Remote.Md5}"

                    return Error(Permanent(error request problem $"The download was deleted. {alternatives request}"))
        }

    /// Copies until the end of the stream, or until more than the expected size was received.
    let private copy request (source: Stream) (target: Stream) start progress (cancellation: CancellationToken) =
        task {
            let buffer = Array.zeroCreate<byte> 131072
            use timeout = CancellationTokenSource.CreateLinkedTokenSource cancellation
            let mutable received = start
            let mutable count = 1

            while count > 0 && received <= request.Remote.Bytes do
                timeout.CancelAfter request.Timeout
                let! read = source.ReadAsync(buffer.AsMemory(), timeout.Token)
                do! target.WriteAsync(ReadOnlyMemory(buffer, 0, read), cancellation)
                received <- received + int64 read
                count <- read
                progress { Received = received; Total = request.Remote.Bytes }
        }

    /// The offset to resume from: the end of the .part file. Deletes one that is too long.
    let private resumeAt request =
        let part = FileInfo(partPath request)

        if not part.Exists then
            0L
        elif part.Length > request.Remote.Bytes then
            part.Delete()
            0L
        else
            part.Length

    let private maxRedirects = 10

    let private isFollowed (source: Uri) (target: Uri) =
        target.Scheme = "https" || (target.Scheme = "http" && source.Scheme = "http")

    /// Sends the request and follows redirects. HttpClient would also follow them to other schemes.
    let rec private send (client: HttpClient) (address: Uri) redirects start (cancellation: CancellationToken) =
        task {
            let message = new HttpRequestMessage(HttpMethod.Get, address)

            if start > 0L then
                message.Headers.Range <- RangeHeaderValue(Nullable start, Nullable())

            let! response = client.SendAsync(message, HttpCompletionOption.ResponseHeadersRead, cancellation)
            let isRedirect = int response.StatusCode >= 300 && int response.StatusCode < 400

            match response.Headers.Location with
            | NonNull location when
                isRedirect && redirects < maxRedirects && isFollowed address (Uri(address, location))
                ->
                response.Dispose()
                return! send client (Uri(address, location)) (redirects + 1) start cancellation
            | _ -> return response
        }

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
    let private errorStatus request (response: HttpResponseMessage) =
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

    /// Stores the body of a successful response. A server that ignores the range sends the whole file.
    let private store request start (response: HttpResponseMessage) progress cancellation =
        task {
            let range = response.Content.Headers.ContentRange |> Option.ofObj

            let resumes =
                response.StatusCode = HttpStatusCode.PartialContent
                && range |> Option.exists (fun range -> range.From = Nullable start)

            if response.StatusCode = HttpStatusCode.PartialContent && not resumes then
                File.Delete(partPath request)
                return Error(transient request "the server sent a different range than requested")
            else
                let mode = if resumes then FileMode.Append else FileMode.Create
                use! source = response.Content.ReadAsStreamAsync(cancellation: CancellationToken)
                use target = new FileStream(partPath request, mode, FileAccess.Write, FileShare.Read)
                do! copy request source target (if resumes then start else 0L) progress cancellation
                return Ok()
        }

    /// One attempt: downloads the missing bytes and verifies the file.
    let private attempt client request progress cancellation =
        task {
            let start = resumeAt request

            if start = request.Remote.Bytes then
                return! verify request cancellation
            else
                use! response = send client request.Remote.Address 0 start cancellation

                if response.StatusCode = HttpStatusCode.RequestedRangeNotSatisfiable then
                    // The part does not match the server's file: start over.
                    File.Delete(partPath request)
                    return Error(transient request "the server does not have the rest of the partial file")
                elif not response.IsSuccessStatusCode then
                    return Error(errorStatus request response)
                else
                    let! stored = store request start response progress cancellation

                    match stored with
                    | Error failure -> return Error failure
                    | Ok() -> return! verify request cancellation
        }

    let private broken request (problem: exn) = Some(transient request $"the connection broke: {problem.Message}")

    let private unwritable request (problem: exn) =
        DataError.create request.Folder (problem.Message.TrimEnd '.') "Choose a writable folder"

    /// ERROR_DISK_FULL on Windows; ENOSPC and EDQUOT on Linux, where the code is the bare number.
    let private isDiskFull (problem: IOException) =
        problem.HResult = 0x80070070 || problem.HResult = 28 || problem.HResult = 122

    /// The failure that an exception of an attempt means. Other exceptions are bugs.
    let private (|Expected|_|) request (problem: exn) =
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

    /// An attempt with expected exceptions as failures. Cancellation remains an exception.
    let private guarded client request progress (cancellation: CancellationToken) =
        task {
            try
                return! attempt client request progress cancellation
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
                let! sum = md5 (path request) cancellation
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
