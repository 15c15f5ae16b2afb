/// An HTTP server on the loopback address, and downloads from it.
module NormFree.Tests.Data.DownloadServer

open System
open System.Collections.Concurrent
open System.IO
open System.Net
open System.Net.Sockets
open System.Security.Cryptography
open System.Text
open System.Threading
open Expecto
open NormFree.Data
open NormFree.Tests.Data.Support

/// One request and its connection.
type Exchange =
    {
        Number: int
        Path: string
        /// First byte of the requested range.
        Range: int option
        Stream: NetworkStream
    }

/// An HTTP server on the loopback address, with one request per connection.
type Server(respond: Exchange -> unit) =
    let listener = new TcpListener(IPAddress.Loopback, 0)
    let requests = ConcurrentQueue<string * int option>()

    let serve (client: TcpClient) =
        use client = client
        use stream = client.GetStream()
        use reader = new StreamReader(stream, Encoding.ASCII, false, 1024, true)

        let lines =
            Seq.initInfinite (fun _ -> reader.ReadLine() |> Option.ofObj |> Option.defaultValue "")
            |> Seq.takeWhile ((<>) "")
            |> List.ofSeq

        match lines with
        | first :: headers ->
            let range =
                headers
                |> List.tryFind (fun line -> line.StartsWith("Range: bytes=", StringComparison.OrdinalIgnoreCase))
                |> Option.map (fun line -> int (line.Substring(13).TrimEnd '-'))

            let path = (first.Split ' ')[1]
            requests.Enqueue((path, range))
            respond { Number = requests.Count; Path = path; Range = range; Stream = stream }
        | [] -> ()

    let rec accept () =
        try
            let client = listener.AcceptTcpClient()

            ThreadPool.QueueUserWorkItem(fun _ ->
                try
                    serve client
                with :? IOException ->
                    ())
            |> ignore

            accept ()
        with
        | :? SocketException
        | :? ObjectDisposedException -> ()

    do
        listener.Start()
        Thread(accept, IsBackground = true).Start()

    member _.Address = Uri $"http://127.0.0.1:{(listener.LocalEndpoint :?> IPEndPoint).Port}/mirror"
    member _.Requests = List.ofSeq requests

    interface IDisposable with
        member _.Dispose() = listener.Dispose()

let write (exchange: Exchange) (status: string) (headers: string list) (body: byte[]) =
    let head = String.Join("\r\n", $"HTTP/1.1 {status}" :: "Connection: close" :: headers) + "\r\n\r\n"
    exchange.Stream.Write(ReadOnlySpan(Encoding.ASCII.GetBytes head))
    exchange.Stream.Write(ReadOnlySpan body)
    exchange.Stream.Flush()

let content = randomBytes 1 500_000

let remote =
    { FileName = "set.tar.gz"
      Address = Uri "http://unused/"
      Mirrors = []
      Md5 = Convert.ToHexStringLower(MD5.HashData content)
      Bytes = 500_000L }

/// Responds with the whole file and ignores ranges.
let whole exchange = write exchange "200 OK" [ $"Content-Length: {content.Length}" ] content

/// Responds with the requested range.
let ranged exchange =
    match exchange.Range with
    | Some start when start >= content.Length -> write exchange "416 Range Not Satisfiable" [ "Content-Length: 0" ] [||]
    | Some start ->
        let headers =
            [ $"Content-Length: {content.Length - start}"
              $"Content-Range: bytes {start}-{content.Length - 1}/{content.Length}" ]

        write exchange "206 Partial Content" headers content[start..]
    | None -> whole exchange

/// Announces the whole file, but sends only n bytes.
let cutAfter n exchange = write exchange "200 OK" [ $"Content-Length: {content.Length}" ] (Array.truncate n content)

let status (line: string) exchange = write exchange line [ "Content-Length: 0" ] [||]

let requestInto (folder: string) (address: Uri) =
    { Download.request (RemoteDatasets.fromMirror address remote) folder with
        Backoff = TimeSpan.FromMilliseconds 5.0 }

let requestTo (folder: TempFolder) address = requestInto folder.Path address

let download request = (Download.run request ignore CancellationToken.None).GetAwaiter().GetResult()

/// Runs a download from a server, and passes the result, the folder and the requests to `check`.
let against respond prepare check =
    use folder = new TempFolder()
    use server = new Server(respond)
    prepare folder
    check (download (requestTo folder server.Address)) folder server.Requests
