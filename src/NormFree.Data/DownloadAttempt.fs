namespace NormFree.Data

open System
open System.IO
open System.Net
open System.Net.Http
open System.Net.Http.Headers
open System.Security.Cryptography
open System.Threading
open NormFree.Data.DownloadFailure

/// One attempt to download a file.
module internal DownloadAttempt =

    let private bufferBytes = 131072

    let md5 (file: string) cancellation =
        task {
            use stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.Read, bufferBytes)
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
            let buffer = Array.zeroCreate<byte> bufferBytes
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
    let run client request progress cancellation =
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
