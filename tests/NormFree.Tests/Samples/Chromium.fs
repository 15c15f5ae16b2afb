/// Headless Chromium, controlled through the DevTools protocol, and a server for the files of a page.
module NormFree.Tests.Samples.Chromium

open System
open System.Diagnostics
open System.IO
open System.Net
open System.Net.Http
open System.Net.Sockets
open System.Net.WebSockets
open System.Text.Json
open System.Text.Json.Nodes
open System.Text.RegularExpressions
open System.Threading
open Expecto

let private timeout = TimeSpan.FromSeconds 60.0

/// Skips a test on a machine without Chromium.
let requireChromium () =
    let path = (Environment.GetEnvironmentVariable "PATH" |> string).Split ':'

    if not (path |> Array.exists (fun folder -> File.Exists(Path.Combine(folder, "chromium")))) then
        skiptest "chromium is not installed (Debian's chromium)"

let private freePort () =
    use listener = new TcpListener(IPAddress.Loopback, 0)
    listener.Start()
    (listener.LocalEndpoint :?> IPEndPoint).Port

let private contentType (path: string) =
    match Path.GetExtension path with
    | ".html" -> "text/html; charset=utf-8"
    | ".js" -> "text/javascript"
    | ".css" -> "text/css"
    | ".wasm" -> "application/wasm"
    | _ -> "application/octet-stream"

/// Serves the files of folders on the loopback device; the first folder that has a file counts.
type FileServer(folders: string list) =
    let listener = new HttpListener()
    let address = $"http://127.0.0.1:{freePort ()}/"

    let answer (context: HttpListenerContext) =
        let path = (nonNull context.Request.Url).AbsolutePath.TrimStart '/'

        match folders |> List.map (fun folder -> Path.Combine(folder, path)) |> List.tryFind File.Exists with
        | Some file ->
            context.Response.ContentType <- contentType file
            context.Response.Close(File.ReadAllBytes file, false)
        | None ->
            context.Response.StatusCode <- 404
            context.Response.Close()

    let serve () =
        try
            while true do
                answer (listener.GetContext())
        with
        | :? HttpListenerException
        | :? ObjectDisposedException -> () // the end

    do
        listener.Prefixes.Add address
        listener.Start()
        Thread(serve, IsBackground = true).Start()

    member _.Address = address

    interface IDisposable with
        member _.Dispose() = listener.Close()

/// The address at which Chromium answers, from its errors.
let private debuggerAddress (browser: Process) =
    let rec read () =
        match browser.StandardError.ReadLine() with
        | null -> failwith "chromium ended"
        | line ->
            let found = Regex.Match(line, "DevTools listening on ws://(\\S+?)/")
            if found.Success then found.Groups[1].Value else read ()

    read ()

/// A page of a headless browser.
type Page(profile: string) =
    let browser =
        ProcessStartInfo(
            "chromium",
            [ "--headless=new"
              "--no-sandbox"
              "--disable-gpu"
              "--disable-dev-shm-usage"
              "--no-first-run"
              "--hide-scrollbars"
              "--remote-debugging-port=0"
              $"--user-data-dir={profile}"
              "about:blank" ],
            RedirectStandardError = true,
            RedirectStandardOutput = true
        )
        |> Process.Start
        |> nonNull

    let socket = new ClientWebSocket()
    let mutable last = 0

    /// One whole message.
    let receive () =
        use message = new MemoryStream()
        use cancellation = new CancellationTokenSource(timeout)
        let buffer = Array.zeroCreate<byte> 65536

        let rec read () =
            let part = socket.ReceiveAsync(ArraySegment buffer, cancellation.Token).Result
            message.Write(buffer, 0, part.Count)

            if not part.EndOfMessage then
                read ()

        read ()
        nonNull (JsonNode.Parse(ReadOnlySpan(message.ToArray())))

    do
        let address = debuggerAddress browser
        // Chromium blocks when nobody reads what it logs.
        browser.StandardError.ReadToEndAsync() |> ignore
        browser.StandardOutput.ReadToEndAsync() |> ignore
        use client = new HttpClient()
        let targets = nonNull (JsonNode.Parse(client.GetStringAsync($"http://{address}/json/list").Result))

        let page =
            targets.AsArray() |> Seq.map nonNull |> Seq.find (fun target -> string target["type"] = "page")

        socket.ConnectAsync(Uri(string page["webSocketDebuggerUrl"]), CancellationToken.None).Wait()

    /// Calls a method of the protocol and returns its result. Events in between are ignored.
    member _.Call(method: string, parameters: obj) : JsonNode =
        last <- last + 1

        let bytes =
            JsonSerializer.SerializeToUtf8Bytes {| id = last; method = method; ``params`` = parameters |}

        socket.SendAsync(ArraySegment bytes, WebSocketMessageType.Text, true, CancellationToken.None).Wait()

        let rec answer () =
            let message = receive ()

            if isNull message["id"] || int (nonNull message["id"]) <> last then
                answer ()
            else
                match message["error"] with
                | null -> nonNull message["result"]
                | error -> failwith $"{method}: {error}"

        answer ()

    /// The value of a JavaScript expression, as JSON.
    member page.Evaluate(expression: string) : JsonNode | null =
        let call = {| expression = expression; returnByValue = true; awaitPromise = true |}
        let result = page.Call("Runtime.evaluate", call)

        match result["exceptionDetails"] with
        | null -> (nonNull result["result"])["value"]
        | problem -> failwith $"{expression}: {problem}"

    /// Waits until a JavaScript expression is true.
    member page.Await(expression: string) =
        let clock = Stopwatch.StartNew()

        while string (page.Evaluate $"!!({expression})") <> "true" do
            if clock.Elapsed > timeout then
                failwith $"""{expression} is still false; the page says: {page.Evaluate "document.body?.innerText"}"""

            Thread.Sleep 50

    member page.Open(address: string, ?width: int, ?height: int, ?dark: bool) =
        page.Call(
            "Emulation.setDeviceMetricsOverride",
            {| width = defaultArg width 800
               height = defaultArg height 700
               deviceScaleFactor = 1
               mobile = false |}
        )
        |> ignore

        let scheme =
            {| name = "prefers-color-scheme"; value = (if defaultArg dark false then "dark" else "light") |}

        page.Call("Emulation.setEmulatedMedia", {| features = [| scheme |] |}) |> ignore
        page.Call("Page.navigate", {| url = address |}) |> ignore
        page.Await $"location.href === '{address}' && document.readyState === 'complete'"

    /// Drags a file over an element and drops it there, as a user does.
    member page.Drop(file: string, selector: string) =
        let place name =
            page.Evaluate $"{{ const r = document.querySelector('{selector}').getBoundingClientRect(); r.{name} + 20 }}"
            |> nonNull

        let data = {| items = Array.empty<string>; files = [| file |]; dragOperationsMask = 1 |}

        for kind in [ "dragEnter"; "dragOver"; "drop" ] do
            let event = {| ``type`` = kind; x = place "left"; y = place "top"; data = data |}
            page.Call("Input.dispatchDragEvent", event) |> ignore

    /// Writes what the page shows as a PNG.
    member page.Screenshot(file: string) =
        let shot = page.Call("Page.captureScreenshot", {| format = "png" |})
        File.WriteAllBytes(file, Convert.FromBase64String(string shot["data"]))

    interface IDisposable with
        member _.Dispose() =
            socket.Dispose()
            browser.Kill true
            browser.WaitForExit()
            browser.Dispose()
